import { expect, test } from 'vitest';
import { lineOf, topOf } from './plot';

const of = (...values: number[]) => values.map((value, atMs) => ({ atMs, value }));

test('the newest reading is at the right end of a plot', () => {
  expect(lineOf(of(0, 100), 3, 100)).toBe('M50.00 32.00L100.00 0.00');
  expect(lineOf(of(50), 3, 100)).toBe('M100.00 16.00h0');
});

test('a scale ends with a round number above every value', () => {
  expect([topOf([]), topOf(of(230)), topOf(of(1_999))]).toEqual([50, 300, 2_000]);
});
