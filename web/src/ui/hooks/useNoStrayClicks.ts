/** Keeps the second half of a double click from what has come in the place of what was clicked. */

import { useEffect } from 'react';

const CONTROLS = 'button, a, label, summary, select, input';

/** The half of a click that tells strays apart. */
export type Clicked = Pick<MouseEvent, 'detail' | 'target'>;

/** Return a function that says of each click whether it is meant for something that is gone. */
export function strays(): (click: Clicked) => boolean {
  let meant: unknown = null;
  return ({ detail, target }) => {
    const control = (target as Element | null)?.closest?.(CONTROLS) ?? null;
    if (detail > 1) return control !== meant;
    meant = control;
    return false;
  };
}

/** Let no stray click reach the page. */
export function useNoStrayClicks(): void {
  useEffect(() => {
    const isStray = strays();
    const stop = (event: MouseEvent) => {
      if (!isStray(event)) return;
      event.preventDefault();
      event.stopPropagation();
    };
    addEventListener('click', stop, { capture: true });
    return () => removeEventListener('click', stop, { capture: true });
  }, []);
}
