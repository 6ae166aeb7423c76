import { expect, test, vi } from 'vitest';
import { sound } from '../../session/sound/sound';
import { listen } from './echo';

test('leaving while the browser still asks leaves no microphone open', async () => {
  const stop = vi.fn();
  const stream = Promise.resolve({ getAudioTracks: () => [{ stop }] });
  vi.stubGlobal('navigator', { mediaDevices: { getUserMedia: () => stream } });
  const leave = new AbortController();
  const listening = listen(sound.read(), leave.signal);
  leave.abort();

  await expect(listening).rejects.toBe(leave.signal.reason);
  expect(stop).toHaveBeenCalledOnce();
});
