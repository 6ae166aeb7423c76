import { expect, test } from 'vitest';
import { timeOf } from './LogLine';

test('the minute after midnight is 0:01, and no 24th hour', () => {
  expect(timeOf(new Date(2026, 0, 1, 0, 1, 5).getTime())).toBe('00:01:05');
});
