import { expect, test } from 'vitest';
import { BEGINNING } from '../../session/state/phase';
import { expectationOf, questionOf } from './hint';

test.each([
  [{ phase: 'full', position: 3 } as const, /number 3 in line/],
  [{ phase: 'full', position: 1 } as const, /next in line/],
  [{ phase: 'warming', reason: 'The model is still loading.' } as const, /still loading/],
  [{ phase: 'warming', liveSinceMs: 1 } as const, /dropped out/],
  [{ phase: 'connecting', step: 'Connecting…' } as const, /^Connecting…$/],
])('%j is shown in words', (state, words) => {
  expect(expectationOf({ ...BEGINNING, ...state }, false, '')).toMatch(words);
});

test('the shortest question of the personas in the call is suggested', () => {
  const catalogue = [
    { name: 'chef', examples: ['What can I cook with leeks?', 'Is it done?'] },
    { name: 'teacher', examples: ['Why?'] },
  ];

  expect(questionOf([{ name: 'chef' }, { name: 'my_own' }], catalogue)).toBe('Is it done?');
  expect(questionOf([{ name: 'my_own' }], catalogue)).toBe('');
});
