/** How loud a participant is played here. */

import type { RemoteParticipant } from 'livekit-client';

/** Whether a page may set volumes: on iOS only the phone's own buttons do. */
export const maySetVolume = tryToSetOne();

/** Play a participant at a volume of 0 to 1. At 0 the server sends nothing, which works everywhere. */
export function play(participant: RemoteParticipant, volume: number): void {
  participant.setVolume(volume);
  for (const publication of participant.audioTrackPublications.values()) {
    publication.setEnabled(volume > 0);
  }
}

function tryToSetOne(): boolean {
  const audio = new Audio();
  audio.volume = 0.5;
  return audio.volume === 0.5;
}
