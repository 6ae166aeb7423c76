/** Fetches what a call alone needs: once the page can be used, so that a click waits for nothing. */

import { useEffect } from 'react';
import type * as CallPart from './callPart';
import { PageIncomplete } from './session/state/trouble';

const SOON_MS = 200; // where a browser does not tell that it is idle

let part: typeof CallPart | null = null;

/** The part; `null` until it was fetched. */
export function callPart(): typeof CallPart | null {
  return part;
}

/** Fetch it, unless it is there. Throws `PageIncomplete`. */
export async function fetchCallPart(): Promise<typeof CallPart> {
  try {
    part ??= await import('./callPart');
    return part;
  } catch (reason) {
    throw new PageIncomplete(String(reason));
  }
}

/** Fetch it as soon as the page has nothing else to do; whether that went well is told at the click. */
export function useCallPart(usable: boolean): void {
  useEffect(() => {
    if (!usable) return;
    const fetchIt = () => void fetchCallPart().catch(() => undefined);
    if (!('requestIdleCallback' in globalThis)) {
      const timer = setTimeout(fetchIt, SOON_MS);
      return () => clearTimeout(timer);
    }
    const idle = requestIdleCallback(fetchIt);
    return () => cancelIdleCallback(idle);
  }, [usable]);
}
