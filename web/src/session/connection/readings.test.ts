import { expect, test } from 'vitest';
import { pathOf } from './connectionQuality';
import { Gauge, medianOf } from './readings';

const of = (...values: number[]) => values.map((value, atMs) => ({ atMs, value }));

test('a gauge keeps the latest sixty readings', () => {
  const gauge = new Gauge();
  for (let at = 0; at < 70; at++) gauge.add(at);

  expect([gauge.read().length, gauge.read()[0]?.value]).toEqual([60, 10]);
});

test('the median is the middle, or between the two in the middle', () => {
  expect([medianOf([]), medianOf(of(9, 1, 5)), medianOf(of(1, 3))]).toEqual([null, 5, 2]);
});

test('the round trip is read from the pair of addresses that is in use', () => {
  const report = new Map<string, unknown>([
    [
      'a',
      { type: 'candidate-pair', nominated: false, state: 'succeeded', currentRoundTripTime: 9 },
    ],
    [
      'b',
      {
        type: 'candidate-pair',
        nominated: true,
        state: 'succeeded',
        currentRoundTripTime: 0.012,
        localCandidateId: 'c',
      },
    ],
    ['c', { type: 'local-candidate', id: 'c', protocol: 'udp' }],
  ]);

  expect(pathOf(report as unknown as RTCStatsReport)).toEqual({ roundTripMs: 12, protocol: 'udp' });
});
