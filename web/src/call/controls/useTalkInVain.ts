/** Notices that a muted person talks, from a copy of the microphone's track that goes nowhere. */

import { useEffect, useState } from 'react';
import { Meter } from '../../session/sound/meter';

const EVERY_MS = 50;
const LOUD = 0.45; // about -36 dBFS: speech, and no fan
const ENOUGH = 8; // loud readings, less the quiet ones between them
const FORGOTTEN_MS = 5_000;

/** Whether this person has talked in the last seconds while the room could not hear it. */
export function useTalkInVain(track: MediaStreamTrack | null, muted: boolean): boolean {
  const [talks, setTalks] = useState(false);
  useEffect(() => {
    setTalks(false);
    if (!track || !muted) return;
    const copy = track.clone(); // the room's own track is off, and silent
    copy.enabled = true;
    const meter = new Meter(copy);
    let loud = 0;
    let heardMs = 0;
    const timer = setInterval(() => {
      loud = Math.max(0, loud + (meter.read().level > LOUD ? 1 : -1));
      if (loud >= ENOUGH) heardMs = performance.now();
      setTalks(heardMs > 0 && performance.now() - heardMs < FORGOTTEN_MS);
    }, EVERY_MS);
    return () => {
      clearInterval(timer);
      meter.close();
      copy.stop();
    };
  }, [track, muted]);
  return talks;
}
