/** How this person wants to be heard and to hear: devices and switches, remembered. */

import type { AudioCaptureOptions } from 'livekit-client';
import { Remembered } from '../../store/stored';

export interface SoundWish {
  /** Device ids; empty: the system's choice. */
  microphone: string;
  speaker: string;
  echoCancellation: boolean;
  noiseSuppression: boolean;
}

export const sound = new Remembered<SoundWish>('sound', {
  microphone: '',
  speaker: '',
  echoCancellation: true,
  noiseSuppression: true,
});

/** What to ask the browser for. */
export function captureOf(wish: SoundWish): AudioCaptureOptions {
  const { microphone, echoCancellation, noiseSuppression } = wish;
  const switches = { echoCancellation, noiseSuppression, autoGainControl: true };
  return microphone ? { ...switches, deviceId: microphone } : switches;
}
