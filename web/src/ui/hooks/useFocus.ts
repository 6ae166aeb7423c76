/** Keeps the keyboard's place: what had the focus goes with its screen, and the page's top is far. */

import { useEffect, useRef } from 'react';

/** On another screen, where nothing has the focus any more, the heading gets it. */
export function useFocus(screen: string): void {
  const last = useRef(screen);
  useEffect(() => {
    if (screen === last.current) return; // a page that was just opened begins at its top
    last.current = screen;
    if (document.activeElement !== document.body) return;
    document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
  }, [screen]);
}
