import { expect, test } from 'vitest';
import type { Config } from '../../service/service';
import { askedFor, choice, OWN, pickedOf, usualSampling } from './choice';

const CONFIG = {
  default_persona: 'chef',
  personas: ['chef', 'teacher'].map((name) => ({ name, label: name, line: '', voice: 'NATF0' })),
  voices: ['NATF0', 'NATM0'],
  model: {
    sampling: {
      text_temperature: 0.6,
      text_top_k: 30,
      audio_temperature: 0.9,
      audio_top_k: 200,
    },
  },
} as unknown as Config;
const CHOICE = choice.read();

test('without a choice the default persona is picked', () => {
  expect(pickedOf(CHOICE, CONFIG)).toEqual(['chef']);
});

test('a persona that is gone is not picked any more', () => {
  const choice = { ...CHOICE, touched: true, picked: ['pilot', OWN, 'teacher'] };

  expect(pickedOf(choice, CONFIG)).toEqual(['teacher', OWN]);
});

test('where all that were picked are gone the default persona is, and nobody where none was', () => {
  const choice = { ...CHOICE, touched: true };

  expect(pickedOf({ ...choice, picked: ['pilot'] }, CONFIG)).toEqual(['chef']);
  expect(pickedOf({ ...choice, picked: [] }, CONFIG)).toEqual([]);
});

test('what is usual is not asked for', () => {
  expect(askedFor(CHOICE, ['chef'], CONFIG)).toEqual([{ name: 'chef' }]);
});

test('the sliders begin at the sampling of the model that runs', () => {
  expect(usualSampling(CONFIG).text_temperature).toBe(0.6);
  expect(usualSampling({ ...CONFIG, model: null }).text_temperature).toBe(0.7);
});

test('a voice that the model has, and what of the sampling differs, are asked for', () => {
  const sampling = { text_top_k: 5 };
  const choice = { ...CHOICE, sampling, voices: { chef: 'NATM0', teacher: 'gone' } };
  const moved = { ...choice, sampling: { ...usualSampling(CONFIG), ...sampling } };

  expect(askedFor(choice, ['chef', 'teacher'], CONFIG)).toEqual([
    { name: 'chef', voice: 'NATM0', sampling },
    { name: 'teacher', sampling },
  ]);
  expect(askedFor(moved, ['teacher'], CONFIG)).toEqual([{ name: 'teacher', sampling }]);
});

test('a persona of one’s own has a label and a prompt', () => {
  const choice = { ...CHOICE, ownLabel: ' Ada ', ownPrompt: ' You are Ada. ' };

  expect(askedFor(choice, [OWN], CONFIG)).toEqual([
    { name: OWN, label: 'Ada', prompt: 'You are Ada.' },
  ]);
});
