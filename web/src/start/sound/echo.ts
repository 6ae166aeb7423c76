/** Listens for a few seconds and plays back what it heard; nothing leaves this machine. */

import { captureOf, type SoundChoice } from '../../session/sound/sound';
import { MicrophoneFailed } from '../../session/state/trouble';

export const LISTEN_MS = 3_000;

export interface Echo {
  /** What is heard while it listens. */
  track: MediaStreamTrack;
  /** Once it has listened long enough; the microphone is closed then. */
  heard: Promise<Blob>;
}

/** Throws `MicrophoneFailed`, and the signal's reason once it aborts. */
export async function listen(choice: SoundChoice, signal: AbortSignal): Promise<Echo> {
  const audio = captureOf(choice) as MediaTrackConstraints;
  const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((reason) => {
    throw new MicrophoneFailed(reason);
  });
  const [track] = stream.getAudioTracks();
  if (!track) throw new MicrophoneFailed(new DOMException('no track', 'NotFoundError'));
  if (signal.aborted) track.stop(); // the browser asked for longer than the person stayed
  signal.throwIfAborted();
  return { track, heard: record(stream, track, signal) };
}

function record(stream: MediaStream, track: MediaStreamTrack, signal: AbortSignal): Promise<Blob> {
  return new Promise((resolve, reject) => {
    const recorder = new MediaRecorder(stream);
    const pieces: Blob[] = [];
    recorder.ondataavailable = ({ data }) => pieces.push(data);
    recorder.onstop = () => {
      track.stop();
      resolve(new Blob(pieces, { type: recorder.mimeType }));
    };
    signal.addEventListener('abort', () => {
      track.stop();
      reject(signal.reason);
    });
    recorder.start();
    setTimeout(() => recorder.state !== 'inactive' && recorder.stop(), LISTEN_MS);
  });
}

/** Play it where the person wants to hear; ends when it has been heard. Throws as `listen` does. */
export async function play(sound: Blob, speaker: string, signal: AbortSignal): Promise<void> {
  const url = URL.createObjectURL(sound);
  const audio = new Audio(url);
  try {
    if (speaker && 'setSinkId' in audio) await audio.setSinkId(speaker);
    signal.throwIfAborted();
    const ended = new Promise((resolve, reject) => {
      audio.onended = resolve;
      audio.onerror = resolve;
      signal.addEventListener('abort', () => {
        audio.pause();
        reject(signal.reason);
      });
    });
    await Promise.all([audio.play(), ended]);
  } finally {
    URL.revokeObjectURL(url);
  }
}
