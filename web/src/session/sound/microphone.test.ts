import { type AudioCaptureOptions, TrackEvent } from 'livekit-client';
import { beforeEach, expect, test, vi } from 'vitest';
import { MicrophoneFailed } from '../state/trouble';
import { Microphone } from './microphone';

class Track {
  isMuted = false;
  /** The device that cannot be opened. */
  broken: string | undefined;
  readonly reason = new DOMException('', 'NotReadableError');
  readonly mediaStreamTrack = { readyState: 'live' };
  private readonly listeners = new Map<TrackEvent, () => void>();
  on(event: TrackEvent, listener: () => void) {
    this.listeners.set(event, listener);
  }
  async restartTrack({ deviceId }: AudioCaptureOptions = {}) {
    this.mediaStreamTrack.readyState = 'ended'; // the one of before is closed first
    if (this.broken === 'any' || (deviceId && deviceId === this.broken)) throw this.reason;
    this.mediaStreamTrack.readyState = 'live';
    this.listeners.get(TrackEvent.Restarted)?.();
  }
  async mute() {
    this.isMuted = true;
    this.listeners.get(TrackEvent.Muted)?.();
  }
  async unmute() {
    if (this.mediaStreamTrack.readyState === 'ended') await this.restartTrack();
    this.isMuted = false;
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

const reporting = () =>
  new Microphone(
    (track) => reported.push(track),
    (why) => reported.push(why.reason),
  );

const openOne = async (microphone: Microphone) =>
  (await microphone.open(CHOICE)) as unknown as Track;

test('a microphone that LiveKit opens again by itself is reported', async () => {
  const track = await openOne(reporting());
  await track.restartTrack();
  expect(reported).toEqual([track]);
});

test('another choice opens the microphone anew, once', async () => {
  const microphone = reporting();
  const track = await openOne(microphone);
  const followed = [CHOICE, { ...CHOICE, echoCancellation: false }].map((choice) =>
    microphone.follow(choice),
  );
  expect(await Promise.all(followed)).toEqual([false, true]);
  expect(reported).toEqual([track]);
});

test('a track of an earlier connection is not reported any more', async () => {
  const microphone = reporting();
  const first = await openOne(microphone);
  opened.tracks.push(new Track());
  await openOne(microphone);
  await first.restartTrack();
  expect(reported).toEqual([]);
});

test('a microphone that cannot be opened leaves the one of before in use', async () => {
  const microphone = reporting();
  const track = await openOne(microphone);
  track.broken = 'headset';
  const follow = microphone.follow({ ...CHOICE, microphone: 'headset' });
  await expect(follow).rejects.toBeInstanceOf(MicrophoneFailed);
  expect([reported, microphone.inUse, microphone.isLost]).toEqual([[track], CHOICE, false]);
});

test('a microphone that LiveKit muted because its device is gone is opened anew', async () => {
  const microphone = reporting();
  const track = await openOne(microphone);
  track.mediaStreamTrack.readyState = 'ended';
  await track.mute();
  await vi.waitFor(() => expect([track.isMuted, microphone.isLost]).toEqual([false, false]));
  expect(reported).toEqual([track]);
});

test('a microphone that is gone with no other one is told, and stays muted', async () => {
  const microphone = reporting();
  const track = await openOne(microphone);
  track.broken = 'any';
  track.mediaStreamTrack.readyState = 'ended';
  await track.mute();
  await vi.waitFor(() => expect(reported).toEqual([track.reason]));
  expect([track.isMuted, microphone.isLost]).toEqual([true, true]);
});
