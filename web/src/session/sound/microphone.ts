/** The microphone of a call: opened once, changed while one talks, stopped at the end. */

import { createLocalAudioTrack, type LocalAudioTrack, TrackEvent } from 'livekit-client';
import { MicrophoneFailed } from '../state/trouble';
import { captureOf, type SoundChoice } from './sound';

export class Microphone {
  private held: LocalAudioTrack | null = null;
  private choice: SoundChoice | null = null;
  private readonly tellRestart: (track: LocalAudioTrack) => void;
  private readonly tellLoss: (why: MicrophoneFailed) => void;

  /**
   * `tellRestart` is told where the sound comes from another device or another stream now. LiveKit's
   * client opens the microphone anew by itself, too: after a lost connection, for a headset that
   * was unplugged, and on a phone that was away. `tellLoss` is told where none can be opened.
   */
  constructor(
    tellRestart: (track: LocalAudioTrack) => void,
    tellLoss: (why: MicrophoneFailed) => void,
  ) {
    this.tellRestart = tellRestart;
    this.tellLoss = tellLoss;
  }

  /** The choice that it was opened by; `null` while it is closed. */
  get inUse(): SoundChoice | null {
    return this.held && this.choice;
  }

  /** Whether the device is gone and none came in its place. */
  get isLost(): boolean {
    return this.held?.mediaStreamTrack.readyState === 'ended';
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
    // LiveKit's client mutes a track whose device is gone where it could open no other one.
    track.on(TrackEvent.Muted, () => {
      if (this.held === track && this.isLost) void this.reopen(track);
    });
    if (muted) await track.mute();
    track.startPreConnectBuffer(); // sent by `publishTrack`, as `publishDefaults.preConnectBuffer` is
    this.held = track;
    return track;
  }

  /**
   * Follow a changed choice; return whether the microphone was opened anew for it. Throws
   * `MicrophoneFailed`; the choice of before is in use again then.
   */
  async follow(choice: SoundChoice): Promise<boolean> {
    const { held, choice: before } = this;
    if (!held || !before || sameCapture(choice, before)) return false;
    this.choice = choice;
    try {
      await held.restartTrack(captureOf(choice));
      return true;
    } catch (reason) {
      this.choice = before;
      await held.restartTrack(captureOf(before)).catch(() => held.mute()); // it was closed first
      throw new MicrophoneFailed(reason);
    }
  }

  /** Try once more, for the browser's own reason. */
  private async reopen(track: LocalAudioTrack): Promise<void> {
    await track.unmute().catch((reason) => this.tellLoss(new MicrophoneFailed(reason)));
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
