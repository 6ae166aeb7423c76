import { afterEach, expect, test, vi } from 'vitest';
import { speak } from '../../strings/strings';
import { noteOf } from './mindNote';

vi.stubGlobal('document', { documentElement: { lang: '' } });
afterEach(() => speak(['en']));

const noteFor = (event: unknown) => noteOf(new TextEncoder().encode(JSON.stringify(event)));

test('the end of a call replaces its beginning', () => {
  const begun = noteFor({ type: 'tool_started', call_id: 'c1', tool: 'opening_hours' });
  const ended = noteFor({
    type: 'tool_ended',
    call_id: 'c1',
    tool: 'opening_hours',
    took_ms: 412,
    ok: true,
  });

  expect(begun).toEqual({ id: 'c1', text: 'looks up: opening hours', final: false });
  expect(ended).toEqual({ id: 'c1', text: 'looked up: opening hours · 0.4 s', final: true });
});

test('seconds are written as the language writes numbers', async () => {
  await speak(['de']);
  const ended = { type: 'tool_ended', call_id: 'c1', tool: 'weather', took_ms: 1500, ok: true };

  expect(noteFor(ended)?.text).toContain('1,5 s');
});

test('a call that failed says so', () => {
  expect(
    noteFor({ type: 'tool_ended', call_id: 'c1', tool: 'weather', took_ms: 9, ok: false })?.text,
  ).toBe('could not look up: weather');
});

test('a warning is its own sentence, and stands where it came', () => {
  const warning = { type: 'warning', code: 'mind_away', detail: 'It is away.', at_s: 7.5 };

  expect(noteFor(warning)).toEqual({
    id: 'warning mind_away 7.5',
    text: 'It is away.',
    final: true,
  });
});

test.each([{ type: 'mind_said', text: 'x' }, {}, null, 7, 'x'])('%j is no line', (event) => {
  expect(noteFor(event)).toBeNull();
});
