import { expect, test, vi } from 'vitest';
import { speak } from '../../strings/strings';
import { storyOf } from './eventText';

test.each([
  [{ type: 'turn', persona: 'chef', latency_ms: 240 }, 'chef answered after 240 ms'],
  [{ type: 'floor', persona: '' }, 'Nobody has the floor'],
  [{ type: 'people', change: 'left', people: 0 }, 'A person left; people: 0'],
  [{ type: 'unheard-of' }, 'unheard-of'],
])('%j is shown in a line', (event, text) => {
  expect(storyOf({ at_s: 0, ...event })?.text).toBe(text);
});

test('a room that waits is a warning with the service’s sentence', () => {
  expect(storyOf({ type: 'waiting', at_s: 0, detail: 'No worker is running.' })).toEqual({
    level: 'warning',
    text: 'The room waits: No worker is running.',
  });
});

test('words stand in the transcript and not in the log', () => {
  expect(storyOf({ type: 'transcript', at_s: 0, text: 'secret' })).toBeNull();
});

test.each([
  [
    'de',
    'chef hat nach 240 ms geantwortet',
    'chef: hört zu',
    'Der Raum wartet: Es läuft kein Modell.',
  ],
  [
    'fr',
    'chef a répondu après 240 ms',
    'chef : écoute',
    'Le salon attend : Aucun modèle ne tourne.',
  ],
])('events are shown in “%s”', async (language, turn, state, waits) => {
  vi.stubGlobal('document', { documentElement: { lang: '' } });
  await speak([language]);
  const texts = [
    { type: 'turn', persona: 'chef', latency_ms: 240 },
    { type: 'state', persona: 'chef', state: 'listening' },
    { type: 'waiting', code: 'no_worker', detail: 'No worker is running.' },
  ].map((event) => storyOf({ at_s: 0, ...event })?.text);
  await speak(['en']);

  expect(texts).toEqual([turn, state, waits]);
});
