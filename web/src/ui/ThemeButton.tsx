/** Goes round the themes: as the system is, light, dark. */

import { useRemembered } from '../service/stored';
import { ThemeIcon } from './icons';
import { choose, THEMES, theme } from './theme';

const NAMES = { system: 'as the system', light: 'light', dark: 'dark' };

export function ThemeButton() {
  const { theme: now } = useRemembered(theme);
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length] ?? 'system';
  const name = `Theme: ${NAMES[now] ?? NAMES.system}`;
  return (
    <button
      type="button"
      className="round"
      aria-label={name}
      title={name}
      onClick={() => choose(next)}
    >
      <ThemeIcon theme={now} />
    </button>
  );
}
