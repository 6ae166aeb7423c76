import { expect, test } from 'vitest';
import { Journal, sifted } from './eventLog';

function journalOf(): Journal {
  const journal = new Journal();
  journal.add('info', 'page', 'You are in the room', { room: 'kitchen' });
  journal.add('warning', 'session', 'The room waits');
  journal.add('error', 'livekit', 'signal lost');
  return journal;
}

test('a level hides what is less grave', () => {
  expect(sifted(journalOf().read(), 'warning', '').map(({ level }) => level)).toEqual([
    'warning',
    'error',
  ]);
});

test('a search looks for every word, in the details too', () => {
  expect(sifted(journalOf().read(), 'info', 'room KITCHEN').map(({ text }) => text)).toEqual([
    'You are in the room',
  ]);
});

test('a journal keeps the latest 400', () => {
  const journal = new Journal();
  for (let at = 0; at < 500; at++) journal.add('info', 'page', String(at));

  expect([journal.read().length, journal.read()[0]?.text]).toEqual([400, '100']);
});
