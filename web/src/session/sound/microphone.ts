/** The microphone of a call: opened once, changed while one talks, stopped at the end. */

import { createLocalAudioTrack, type LocalAudioTrack, TrackEvent } from 'livekit-client';
import { MicrophoneFailed } from '../state/trouble';
import { captureOf, type SoundChoice } from './sound';

export class Microphone {
  private held: LocalAudioTrack | null = null;
  private choice: SoundChoice | null = null;
  private readonly tellRestart: (track: LocalAudioTrack) => void;

  /**
   * `tellRestart` is told where the sound comes from another device or another stream now. LiveKit's
   * client opens the microphone anew by itself, too: after a lost connection, for a headset that
   * was unplugged, and on a phone that was away.
   */
  constructor(tellRestart: (track: LocalAudioTrack) => void) {
    this.tellRestart = tellRestart;
  }

  /** Open it, and record until the personas hear it. Throws `MicrophoneFailed`. */
  async open(choice: SoundChoice): Promise<LocalAudioTrack> {
    const muted = this.held?.isMuted ?? false; // only the person unmutes it, not a new connection
    this.stop();
    this.choice = choice;
    const track = await createLocalAudioTrack(captureOf(choice)).catch((reason) => {
      throw new MicrophoneFailed(reason);
    });
    track.on(TrackEvent.Restarted, () => {
      if (this.held === track) this.tellRestart(track);
    });
    if (muted) await track.mute();
    track.startPreConnectBuffer(); // sent by `publishTrack`, as `publishDefaults.preConnectBuffer` is
    this.held = track;
    return track;
  }

  /** Follow a changed choice; return whether the microphone was opened anew for it. */
  async follow(choice: SoundChoice): Promise<boolean> {
    const { held, choice: before } = this;
    if (!held || !before || sameCapture(choice, before)) return false;
    this.choice = choice;
    await held.restartTrack(captureOf(choice)).catch((reason) => {
      throw new MicrophoneFailed(reason);
    });
    return true;
  }

  stop(): void {
    this.held?.stopPreConnectBuffer();
    this.held?.stop();
    this.held = null;
  }
}

function sameCapture(one: SoundChoice, other: SoundChoice): boolean {
  return (
    one.microphone === other.microphone &&
    one.echoCancellation === other.echoCancellation &&
    one.noiseSuppression === other.noiseSuppression
  );
}
