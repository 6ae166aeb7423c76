/** Whether this person has keys to press, and may like to read of them. */

import { useSyncExternalStore } from 'react';

const WRITES = 'input, textarea, select'; // where a phone shows keys of its own
const mouse = matchMedia('(any-hover: hover) and (any-pointer: fine)');
let pressed = false;
addEventListener('keydown', ({ key, target }) => {
  const typed = key.length === 1 || key === 'Tab';
  pressed ||= typed && !(target instanceof Element && target.matches(WRITES));
});

/** True beside a mouse, and once a key was pressed outside of a field. */
export function useKeyboard(): boolean {
  return useSyncExternalStore(follow, () => mouse.matches || pressed);
}

function follow(changed: () => void): () => void {
  mouse.addEventListener('change', changed);
  addEventListener('keydown', changed);
  return () => {
    mouse.removeEventListener('change', changed);
    removeEventListener('keydown', changed);
  };
}
