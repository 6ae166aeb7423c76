/** The devices and filters that this person chose; the browser remembers them. */

import type { AudioCaptureOptions } from 'livekit-client';
import { Remembered } from '../../store/stored';

export interface SoundChoice {
  /** Device ids; empty: the system's choice. */
  microphone: string;
  speaker: string;
  echoCancellation: boolean;
  noiseSuppression: boolean;
}

export const sound = new Remembered<SoundChoice>('sound', {
  microphone: '',
  speaker: '',
  echoCancellation: true,
  noiseSuppression: true,
});

/** Return what to ask the browser for. */
export function captureOf(choice: SoundChoice): AudioCaptureOptions {
  const { microphone, echoCancellation, noiseSuppression } = choice;
  const switches = { echoCancellation, noiseSuppression, autoGainControl: true };
  return microphone ? { ...switches, deviceId: microphone } : switches;
}
