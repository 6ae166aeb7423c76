import { expect, test } from 'vitest';
import { refused } from './request';

test('the service’s code and sentence are read out of its problem details', () => {
  const { status, code, message } = refused(503, '{"error": "full", "detail": "All taken."}');

  expect([status, code, message]).toEqual([503, 'full', 'All taken.']);
});

test('an answer of another server is reported by its status alone', () => {
  const { code, message } = refused(502, '<html>Bad gateway</html>');

  expect([code, message]).toEqual(['', 'The server answered 502.']);
});
