/** Light, dark, or as the system is. `public/theme.js` applies it before the first picture. */

import { Remembered } from '../../store/stored';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

export const theme = new Remembered<{ theme: Theme }>(
  'theme',
  { theme: 'system' },
  { theme: (name) => THEMES.includes(name) },
);

/** Show a theme and remember it. */
export function choose(next: Theme): void {
  theme.set({ theme: next });
  document.documentElement.dataset.theme = next;
}
