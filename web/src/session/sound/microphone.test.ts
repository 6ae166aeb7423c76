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

const WISH = {
  microphone: '',
  speaker: '',
  echoCancellation: true,
  noiseSuppression: true,
};
let told: unknown[] = [];

beforeEach(() => {
  told = [];
  opened.tracks = [new Track()];
});

const openOne = async (microphone: Microphone) => (await microphone.open(WISH)) as unknown as Track;

test('a microphone that LiveKit opens anew by itself is told', async () => {
  const track = await openOne(new Microphone((track) => told.push(track)));
  await track.restartTrack();
  expect(told).toEqual([track]);
});

test('another wish opens it anew, and is told once', async () => {
  const microphone = new Microphone((track) => told.push(track));
  const track = await openOne(microphone);
  const followed = [WISH, { ...WISH, echoCancellation: false }].map((wish) =>
    microphone.follow(wish),
  );
  expect(await Promise.all(followed)).toEqual([false, true]);
  expect(told).toEqual([track]);
});

test('a track of a connection before is told no more', async () => {
  const microphone = new Microphone((track) => told.push(track));
  const first = await openOne(microphone);
  opened.tracks.push(new Track());
  await openOne(microphone);
  await first.restartTrack();
  expect(told).toEqual([]);
});
