import { expect, test } from 'vitest';
import { tailOf } from './tail';

test('a short text is its own end', () => {
  expect(tailOf(' Hello there. ')).toBe('Hello there.');
});

test('a long text ends in whole words', () => {
  const end = tailOf(`${'first '.repeat(20)}and the last words`);

  expect(end).toMatch(/^…(first )+and the last words$/);
  expect(end.length).toBeLessThanOrEqual(61);
});

test('a long text is cut between characters', () => {
  expect(tailOf(`${'🎉'.repeat(60)}!`)).toBe(`…${'🎉'.repeat(59)}!`);
});
