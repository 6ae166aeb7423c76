/** Listens for a few seconds and plays back what it heard; nothing leaves this machine. */

import { captureOf, type SoundWish } from './sound';
import { MicrophoneFailed } from './trouble';

export const LISTEN_MS = 3_000;

export interface Echo {
  /** What is heard while it listens. */
  track: MediaStreamTrack;
  /** Once it has listened long enough. */
  heard: Promise<Blob>;
  stop: () => void;
}

/** Throws `MicrophoneFailed`. */
export async function listen(wish: SoundWish): Promise<Echo> {
  const audio = captureOf(wish) as MediaTrackConstraints;
  const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((reason) => {
    throw new MicrophoneFailed(reason);
  });
  const [track] = stream.getAudioTracks();
  if (!track) throw new MicrophoneFailed(new DOMException('no track', 'NotFoundError'));
  const recorder = new MediaRecorder(stream);
  const pieces: Blob[] = [];
  const heard = new Promise<Blob>((resolve) => {
    recorder.ondataavailable = ({ data }) => pieces.push(data);
    recorder.onstop = () => resolve(new Blob(pieces, { type: recorder.mimeType }));
  });
  const timer = setTimeout(() => recorder.stop(), LISTEN_MS);
  const stop = () => {
    clearTimeout(timer);
    if (recorder.state !== 'inactive') recorder.stop();
    track.stop();
  };
  recorder.start();
  return { track, heard, stop };
}

/** Play it where the person wants to hear; ends when it has been heard. */
export async function play(sound: Blob, speaker: string): Promise<void> {
  const url = URL.createObjectURL(sound);
  const audio = new Audio(url);
  try {
    if (speaker && 'setSinkId' in audio) await audio.setSinkId(speaker);
    const ended = new Promise((resolve) => {
      audio.onended = resolve;
      audio.onerror = resolve;
    });
    await audio.play();
    await ended;
  } finally {
    URL.revokeObjectURL(url);
  }
}
