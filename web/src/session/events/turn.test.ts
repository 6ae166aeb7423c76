import { expect, test } from 'vitest';
import { latencyOf } from './turn';

const bytes = (text: string) => new TextEncoder().encode(text);

test('a turn tells how long it took', () => {
  expect(latencyOf(bytes('{"latency_ms": 412.5}'))).toBe(412.5);
});

test.each([
  '',
  'nonsense',
  '{',
  'null',
  '7',
  '[]',
  '{}',
  '{"latency_ms": "1"}',
  '{"latency_ms": 1e999}',
])('what is no turn is passed over: %s', (text) => {
  expect(latencyOf(bytes(text))).toBeNull();
});

test('bytes that are no text are passed over', () => {
  expect(latencyOf(new Uint8Array([0xff, 0xfe, 0x00]))).toBeNull();
});
