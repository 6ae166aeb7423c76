import { expect, test } from 'vitest';
import { levelOf } from './meter';

const tone = (amplitude: number) =>
  Float32Array.from({ length: 4800 }, (_, at) => amplitude * Math.sin(at * 0.1));

test('silence is 0 and a loud voice is 1', () => {
  expect([levelOf(tone(0)), levelOf(tone(0.9))]).toEqual([0, 1]);
});

test('the level follows loudness in decibels: -34.5 dBFS lies in the middle', () => {
  expect(levelOf(tone(10 ** (-34.5 / 20) * Math.SQRT2))).toBeCloseTo(0.5, 2);
});
