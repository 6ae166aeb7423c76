/** Notices that a microphone that is on gives nothing: it is switched off, or it is the wrong one. */

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { Meter } from '../../session/sound/meter';

const EVERY_MS = 100;
const LONG_MS = 8_000;

/** Whether nothing was heard since this track came, for long; and while the system mutes it. */
export function useUnheard(track: MediaStreamTrack | null, listens: boolean): boolean {
  const silent = useSilent(track, listens);
  const held = useMutedBySystem(track);
  return listens && (silent || held);
}

/** The first sound ends it: a person may be quiet for as long as they like. */
function useSilent(track: MediaStreamTrack | null, listens: boolean): boolean {
  const [silent, setSilent] = useState(false);
  const heard = useRef<MediaStreamTrack>(null);
  useEffect(() => {
    setSilent(false);
    if (!track || !listens || heard.current === track) return;
    const meter = new Meter(track);
    const sinceMs = performance.now();
    const timer = setInterval(() => {
      if (meter.read().level > 0) {
        heard.current = track;
        leave();
        setSilent(false);
      } else if (performance.now() - sinceMs > LONG_MS) setSilent(true);
    }, EVERY_MS);
    const leave = () => {
      clearInterval(timer);
      meter.close();
    };
    return leave;
  }, [track, listens]);
  return silent;
}

/** A headset's button, another program or a telephone call may mute it outside of the page. */
function useMutedBySystem(track: MediaStreamTrack | null): boolean {
  const subscribe = useCallback(
    (changed: () => void) => {
      track?.addEventListener('mute', changed);
      track?.addEventListener('unmute', changed);
      return () => {
        track?.removeEventListener('mute', changed);
        track?.removeEventListener('unmute', changed);
      };
    },
    [track],
  );
  return useSyncExternalStore(subscribe, () => track?.muted ?? false);
}
