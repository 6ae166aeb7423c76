/** How this person wants the page to be; this browser remembers it. */

import { Remembered, useRemembered } from './stored';

export const preferences = new Remembered('preferences', {
  /** M and Space mute. */
  shortcuts: true,
  /** Performance and event log stand beside the transcript. */
  details: false,
  /** `open` or `closed`; empty: the drawer is open where there is room. */
  drawer: '',
});

const asked = new URLSearchParams(location.search).get('dev') === '1';

/** Whether to show what developers look for: by choice, or by `?dev=1` in the address. */
export function useDetails(): boolean {
  return useRemembered(preferences).details || asked;
}
