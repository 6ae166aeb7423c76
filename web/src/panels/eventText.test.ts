import { expect, test } from 'vitest';
import { storyOf } from './eventText';

test.each([
  [{ type: 'turn', persona: 'chef', latency_ms: 240 }, 'chef answered after 240 ms'],
  [{ type: 'floor', persona: '' }, 'Nobody has the floor'],
  [{ type: 'people', change: 'left', people: 0 }, 'Somebody left; people: 0'],
  [{ type: 'unheard-of' }, 'unheard-of'],
])('%j is told in a line', (event, text) => {
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
