import { DisconnectReason } from 'livekit-client';
import { expect, test } from 'vitest';
import { comesBack, LIVEKITS_OWN, waitBefore } from './reconnection';

test('a room that closed, or that one was removed from, is not tried again', () => {
  const reasons = [DisconnectReason.PARTICIPANT_REMOVED, DisconnectReason.ROOM_DELETED];

  expect(reasons.map(comesBack)).toEqual([false, false]);
});

test('a connection that broke is tried again', () => {
  const frozenPage = DisconnectReason.CLIENT_INITIATED;
  const reasons = [undefined, DisconnectReason.SERVER_SHUTDOWN, frozenPage];

  expect(reasons.map(comesBack)).toEqual([true, true, true]);
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
