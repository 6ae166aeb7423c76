/** The keys M and Space, wherever they mean nothing else. */

import { useEffect } from 'react';

const WRITES = 'input:not([type="range"], [type="checkbox"]), textarea, select';
const PRESSES = 'input, button, a, summary, [tabindex="0"]';

/** Call `act` for each press of M or Space outside of fields and sheets. */
export function useShortcut(active: boolean, act: () => void): void {
  useEffect(() => {
    if (!active) return;
    const press = (event: KeyboardEvent) => {
      const { key, repeat, ctrlKey, metaKey, altKey, target } = event;
      if (repeat || ctrlKey || metaKey || altKey || !(target instanceof Element)) return;
      if (target.closest(`dialog, ${WRITES}`)) return;
      const space = key === ' ' && !target.closest(PRESSES);
      if (!space && key.toLowerCase() !== 'm') return;
      event.preventDefault(); // Space would scroll
      act();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, [active, act]);
}
