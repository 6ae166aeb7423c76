/** Goes round the themes: as the system is, light, dark. */

import { useRemembered } from '../store/stored';
import { t } from '../strings/strings';
import { IconButton } from '../ui/IconButton';
import { ThemeIcon } from '../ui/theme/icons';
import { choose, THEMES, theme } from '../ui/theme/theme';

export function ThemeButton() {
  const { theme: now } = useRemembered(theme);
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length] ?? 'system';
  const name = t.header.theme[now] ?? t.header.theme.system;
  return (
    <IconButton label={name} onClick={() => choose(next)}>
      <ThemeIcon theme={now} />
    </IconButton>
  );
}
