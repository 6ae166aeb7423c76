import { expect, test } from 'vitest';
import { groupsOf, labelOf } from './voices';

test('PersonaPlex’s voices are grouped by kind and sex, an operator’s own come last', () => {
  const groups = groupsOf(['VARM1', 'anna', 'NATM0', 'NATF1', 'NATF0']);

  expect(groups.map(({ label, voices }) => [label, voices.map(({ name }) => name)])).toEqual([
    ['Natural, female', ['NATF1', 'NATF0']],
    ['Natural, male', ['NATM0']],
    ['Varied, male', ['VARM1']],
    ['Others', ['anna']],
  ]);
});

test('a voice has a name for people', () => {
  expect([labelOf('NATF0'), labelOf('anna')]).toEqual(['Natural, female 1', 'anna']);
});
