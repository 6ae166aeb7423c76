import { expect, test } from 'vitest';
import type { Config } from '../service/service';
import { readinessOf } from './readiness';

const READY: Config = {
  default_persona: 'chef',
  livekit_url: 'ws://localhost',
  personas: [
    { name: 'chef', label: 'Chef', line: '', voice: 'default', mind: '', prompt: '', examples: [] },
  ],
  model: null,
  people_words: { written: false },
  voices: [],
  ratings: false,
  page: { name: '', colour: '', logo: '', terms: '', privacy: '' },
  languages: ['en'],
  slots_free: 1,
  limits: { personas_per_room: 14, prompt_characters: 1000 },
  ready: true,
  code: '',
  reason: '',
};
const FULL = { ...READY, ready: false, code: 'full', reason: 'All places are taken.' };

test('a ready service and a voice make a start possible', () => {
  const { ready, trouble } = readinessOf({ config: READY, reachable: true }, 1, null);

  expect([ready, trouble]).toEqual([true, null]);
});

test('no voice, no start', () => {
  const { ready, words } = readinessOf({ config: READY, reachable: true }, 0, null);

  expect([ready, words]).toEqual([false, 'Choose at least one voice.']);
});

test('a character of one’s own needs a description', () => {
  const { ready, words } = readinessOf({ config: READY, reachable: true }, 1, null, {
    undescribed: true,
  });

  expect([ready, words]).toEqual([false, 'Describe your own character first.']);
});

test('a full service is shown as full, in the page’s own sentence, and offers to wait in line', () => {
  const { ready, line, trouble } = readinessOf({ config: FULL, reachable: true }, 1, null);

  expect([ready, line]).toEqual([true, true]);
  expect([trouble?.kind, trouble?.why]).toEqual(['full', 'Others are talking at the moment.']);
});

test('a model that is busy says so, and offers to wait in line', () => {
  const config = { ...FULL, code: 'too_slow', reason: 'Busy.' };
  const { ready, line, trouble } = readinessOf({ config, reachable: true }, 1, null);

  expect([ready, line, trouble?.title]).toEqual([true, true, 'The model is busy']);
});

test.each(['full', 'draining'])(
  'a room that has its place is open while others read “%s”',
  (code) => {
    const config = { ...FULL, code };
    const { ready, line, trouble } = readinessOf({ config, reachable: true }, 1, null, {
      placed: true,
    });

    expect([ready, line, trouble]).toEqual([true, false, null]);
  },
);

test.each([
  { config: READY, reachable: false },
  { config: null, reachable: true },
])('a room that has its slots can be joined only if the service allows it', (known) => {
  expect(readinessOf(known, 1, null, { placed: true }).ready).toBe(false);
});

test('a service that cannot answer says why, and there is no start', () => {
  const config = { ...FULL, code: 'no_worker', reason: 'No worker is running.' };
  const { ready, trouble } = readinessOf({ config, reachable: true }, 1, null);

  expect([ready, trouble?.why]).toEqual([false, 'No worker is running.']);
});

test('a model that loads is progress and no trouble', () => {
  const config = { ...FULL, code: 'loading_model', reason: 'Still loading (importing torch).' };
  const { ready, words, trouble } = readinessOf({ config, reachable: true }, 1, null);

  expect([ready, words, trouble]).toEqual([false, 'The voices are getting ready…', null]);
});

test('a service that stopped answering allows no start, whatever it said last', () => {
  const { ready, trouble } = readinessOf({ config: READY, reachable: false }, 1, null);

  expect([ready, trouble?.title]).toEqual([false, 'The server does not answer']);
});

test('the trouble of the last try stays until the next one', () => {
  const last = { kind: 'error', title: 'Blocked', why: '', todo: '' } as const;

  expect(readinessOf({ config: READY, reachable: true }, 1, last).trouble).toBe(last);
});

test('a call that was asked for is not asked for again', () => {
  const { ready, words } = readinessOf({ config: READY, reachable: true }, 1, null, {
    opening: true,
  });

  expect([ready, words]).toEqual([false, 'Loading the call…']);
});
