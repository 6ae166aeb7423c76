import { TrackEvent } from 'livekit-client';
import { beforeEach, expect, test, vi } from 'vitest';
import { Microphone } from './microphone';

class Track {
  isMuted = false;
  private restarted: () => void = () => undefined;
  on(event: TrackEvent, listener: () => void) {
    if (event === TrackEvent.Restarted) this.restarted = listener;
  }
  async restartTrack() {
    this.restarted();
  }
  async mute() {
    this.isMuted = true;
  }
  startPreConnectBuffer() {}
  stopPreConnectBuffer() {}
  stop() {}
}

const opened = vi.hoisted(() => ({ tracks: [] as unknown[] }));
vi.mock('livekit-client', async (original) => ({
  ...(await original<typeof import('livekit-client')>()),
  createLocalAudioTrack: async () => opened.tracks.at(-1),
}));

const CHOICE = {
  microphone: '',
  speaker: '',
  echoCancellation: true,
  noiseSuppression: true,
};
let reported: unknown[] = [];

beforeEach(() => {
  reported = [];
  opened.tracks = [new Track()];
});

const openOne = async (microphone: Microphone) =>
  (await microphone.open(CHOICE)) as unknown as Track;

test('a microphone that LiveKit opens again by itself is reported', async () => {
  const track = await openOne(new Microphone((track) => reported.push(track)));
  await track.restartTrack();
  expect(reported).toEqual([track]);
});

test('another choice opens the microphone anew, once', async () => {
  const microphone = new Microphone((track) => reported.push(track));
  const track = await openOne(microphone);
  const followed = [CHOICE, { ...CHOICE, echoCancellation: false }].map((choice) =>
    microphone.follow(choice),
  );
  expect(await Promise.all(followed)).toEqual([false, true]);
  expect(reported).toEqual([track]);
});

test('a track of an earlier connection is not reported any more', async () => {
  const microphone = new Microphone((track) => reported.push(track));
  const first = await openOne(microphone);
  opened.tracks.push(new Track());
  await openOne(microphone);
  await first.restartTrack();
  expect(reported).toEqual([]);
});
