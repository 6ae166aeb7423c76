/** The operator's colour, where there is one: `theme.css` gives it the lightness of each theme. */

import { useLayoutEffect } from 'react';

export function useColour(colour: string): void {
  useLayoutEffect(() => {
    const { dataset, style } = document.documentElement;
    if (!colour) return;
    dataset.brand = '';
    style.setProperty('--brand', colour);
  }, [colour]);
}
