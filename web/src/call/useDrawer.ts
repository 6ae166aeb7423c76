/** Whether the drawer beside the stage is open: where there is room, until this person decides. */

import { useSyncExternalStore } from 'react';
import { preferences } from '../store/preferences';
import { useRemembered } from '../store/stored';

const roomy = matchMedia('(min-width: 1100px) and (min-height: 600px)');

/** The state, and the function that changes it. What differs from the usual is remembered. */
export function useDrawer(): [boolean, (open: boolean) => void] {
  const { drawer } = useRemembered(preferences);
  const fits = useSyncExternalStore(follow, () => roomy.matches);
  const set = (open: boolean) =>
    preferences.set({ drawer: open === fits ? '' : open ? 'open' : 'closed' });
  return [drawer ? drawer === 'open' : fits, set];
}

function follow(changed: () => void): () => void {
  roomy.addEventListener('change', changed);
  return () => roomy.removeEventListener('change', changed);
}
