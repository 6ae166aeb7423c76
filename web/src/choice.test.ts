import { expect, test } from 'vitest';
import { askedFor, choice, OWN, pickedOf, USUAL_SAMPLING } from './choice';
import type { Config } from './service';

const CONFIG = {
  default_persona: 'chef',
  personas: ['chef', 'teacher'].map((name) => ({ name, label: name, line: '', voice: 'NATF0' })),
  voices: ['NATF0', 'NATM0'],
} as unknown as Config;
const WISH = choice.read();

test('who has picked nothing yet gets the default persona', () => {
  expect(pickedOf(WISH, CONFIG)).toEqual(['chef']);
});

test('a persona that is gone is not picked any more', () => {
  const wish = { ...WISH, touched: true, picked: ['pilot', OWN, 'teacher'] };

  expect(pickedOf(wish, CONFIG)).toEqual(['teacher', OWN]);
});

test('what is usual is not asked for', () => {
  expect(askedFor(WISH, ['chef'], CONFIG)).toEqual([{ name: 'chef' }]);
});

test('a voice that the model has, and a sampling that differs, go with the wish', () => {
  const sampling = { ...USUAL_SAMPLING, text_top_k: 5 };
  const wish = { ...WISH, sampling, voices: { chef: 'NATM0', teacher: 'gone' } };

  expect(askedFor(wish, ['chef', 'teacher'], CONFIG)).toEqual([
    { name: 'chef', voice: 'NATM0', sampling },
    { name: 'teacher', sampling },
  ]);
});

test('a persona of one’s own has a label and a prompt', () => {
  const wish = { ...WISH, ownLabel: ' Ada ', ownPrompt: ' You are Ada. ' };

  expect(askedFor(wish, [OWN], CONFIG)).toEqual([
    { name: OWN, label: 'Ada', prompt: 'You are Ada.' },
  ]);
});
