import { expect, test } from 'vitest';
import { merged } from './stored';

const USUAL = { name: '', picked: ['a'], on: true };

test('what was stored goes over what is usual', () => {
  expect(merged(USUAL, { name: 'Ann', on: false })).toEqual({
    name: 'Ann',
    picked: ['a'],
    on: false,
  });
});

test('what a check refuses is not believed', () => {
  const texts = { picked: (names: string[]) => names.every((name) => typeof name === 'string') };

  expect(merged(USUAL, { picked: ['b', 3] }, texts)).toEqual(USUAL);
  expect(merged(USUAL, { picked: ['b'] }, texts).picked).toEqual(['b']);
});

test.each([[null], ['text'], [{ name: 3, picked: {}, on: null, other: 1 }]])(
  'stored %j is not believed',
  (found) => {
    expect(merged(USUAL, found)).toEqual(USUAL);
  },
);
