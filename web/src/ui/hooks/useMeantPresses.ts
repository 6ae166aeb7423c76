/** Lets a press reach the page only where a person meant it. */

import { useEffect } from 'react';

const CONTROLS = 'button, a, label, summary, select, input';
/** Not `disabled`: that takes the focus from a person who has just pressed it. */
const OFF = '[aria-disabled="true"]';

/** The half of a click that tells strays apart. */
export type Clicked = Pick<MouseEvent, 'detail' | 'target'>;

/**
 * Return a function that says of each click whether it is meant for something that is gone, as the
 * second half of a double click is, or for something that is switched off.
 */
export function strays(): (click: Clicked) => boolean {
  let meant: unknown = null;
  return ({ detail, target }) => {
    const control = (target as Element | null)?.closest?.(CONTROLS) ?? null;
    if (detail > 1 && control !== meant) return true;
    meant = control;
    return control?.matches(OFF) ?? false;
  };
}

/** Let no stray click reach the page, and one press of Enter from a key that is held. */
export function useMeantPresses(): void {
  useEffect(() => {
    const isStray = strays();
    const stop = (event: Event) => {
      event.preventDefault();
      event.stopPropagation();
    };
    const click = (event: MouseEvent) => isStray(event) && stop(event);
    const press = (event: KeyboardEvent) => {
      const writes = event.target instanceof HTMLTextAreaElement;
      if (event.key === 'Enter' && event.repeat && !writes) stop(event);
    };
    addEventListener('click', click, { capture: true });
    addEventListener('keydown', press, { capture: true });
    return () => {
      removeEventListener('click', click, { capture: true });
      removeEventListener('keydown', press, { capture: true });
    };
  }, []);
}
