import { expect, test } from 'vitest';
import { type Clicked, strays } from './useMeantPresses';

/** A click on a picture in this control. */
const on = (control: object | null, detail: number) =>
  ({ detail, target: { closest: () => control } }) as unknown as Clicked;

const control = (off = false) => ({ matches: () => off });
const [start, cancel, off] = [control(), control(), control(true)];

test('a second click is stray where another control has come in the first one’s place', () => {
  const isStray = strays();

  expect([on(start, 1), on(cancel, 2), on(null, 3)].map(isStray)).toEqual([false, true, true]);
});

test('two quick clicks on one control both count, and so does each of a keyboard', () => {
  const isStray = strays();

  expect([on(start, 1), on(start, 2), on(cancel, 0), on(start, 1)].map(isStray)).toEqual(
    Array(4).fill(false),
  );
});

test('no click reaches what is switched off', () => {
  const isStray = strays();

  expect([on(off, 1), on(off, 0)].map(isStray)).toEqual([true, true]);
});
