import { expect, test, vi } from 'vitest';
import { levelOf, soundContext } from './meter';

const tone = (amplitude: number) =>
  Float32Array.from({ length: 4800 }, (_, at) => amplitude * Math.sin(at * 0.1));

test('silence is 0 and a loud voice is 1', () => {
  expect([levelOf(tone(0)), levelOf(tone(0.9))]).toEqual([0, 1]);
});

test('the level follows loudness in decibels: -34.5 dBFS lies in the middle', () => {
  expect(levelOf(tone(10 ** (-34.5 / 20) * Math.SQRT2))).toBeCloseTo(0.5, 2);
});

test('a context that the system interrupted resumes once the page is seen again', () => {
  class Context extends EventTarget {
    state = 'running';
    resume = vi.fn(async () => undefined);
  }
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  vi.stubGlobal('AudioContext', Context);
  vi.stubGlobal('document', page);
  const context = soundContext() as unknown as Context;

  page.visibilityState = 'hidden';
  context.state = 'interrupted';
  context.dispatchEvent(new Event('statechange'));
  expect(context.resume).not.toHaveBeenCalled();
  page.visibilityState = 'visible';
  page.dispatchEvent(new Event('visibilitychange'));
  expect(context.resume).toHaveBeenCalledOnce();
  context.dispatchEvent(new Event('statechange'));
  expect(context.resume).toHaveBeenCalledTimes(2);
});
