import { DisconnectReason } from 'livekit-client';
import { expect, test } from 'vitest';
import { comesBack, LIVEKITS_OWN, waitBefore } from './reconnection';

test('a room that closed, or that one left, is not tried again', () => {
  const reasons = [DisconnectReason.CLIENT_INITIATED, DisconnectReason.ROOM_DELETED];

  expect(reasons.map(comesBack)).toEqual([false, false]);
});

test('a connection that broke is tried again', () => {
  expect([undefined, DisconnectReason.SERVER_SHUTDOWN].map(comesBack)).toEqual([true, true]);
});

test('waits grow, and end', () => {
  expect([0, 1, 9, 10].map(waitBefore)).toEqual([2_000, 4_000, 30_000, null]);
});

test('LiveKit itself gives up soon', () => {
  const waits = [0, 2].map((retryCount) =>
    LIVEKITS_OWN.nextRetryDelayInMs({ retryCount, elapsedMs: 0 }),
  );

  expect(waits).toEqual([0, null]);
});
