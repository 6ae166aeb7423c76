/** Sends one thing at a time: a double click or a key pressed twice sends it once. */

import { useRef, useState } from 'react';

const DOUBLE_MS = 500; // within which systems take two clicks for one

/**
 * Whether something is on its way, and the function that sends it. That does nothing while the one
 * before has no answer, nor in the moment after it: an answer may be quicker than a second click.
 */
export function useOnce(): [boolean, (send: () => Promise<unknown>) => void] {
  const [busy, setBusy] = useState(false);
  const held = useRef(false); // before the button shows it
  const once = async (send: () => Promise<unknown>) => {
    if (held.current) return;
    held.current = true;
    setBusy(true);
    await Promise.allSettled([send(), new Promise((over) => setTimeout(over, DOUBLE_MS))]);
    held.current = false;
    setBusy(false);
  };
  return [busy, once];
}
