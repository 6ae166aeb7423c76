/** When to come back into a room that broke away, and whether to. Pure. */

import { DisconnectReason, type ReconnectPolicy } from 'livekit-client';

const SECOND_MS = 1000;
const WAITS_S = [2, 4, 6, 10, 15, 20, 30, 30, 30, 30];
const LIVEKITS_WAITS_MS = [0, 500];

/** LiveKit's own tries: short and few, for then the page counts down in sight of the person. */
export const LIVEKITS_OWN: ReconnectPolicy = {
  nextRetryDelayInMs: ({ retryCount }) => LIVEKITS_WAITS_MS[retryCount] ?? null,
};

const FOR_GOOD: ReadonlySet<DisconnectReason | undefined> = new Set([
  DisconnectReason.DUPLICATE_IDENTITY,
  DisconnectReason.PARTICIPANT_REMOVED,
  DisconnectReason.ROOM_DELETED,
  DisconnectReason.ROOM_CLOSED,
]);

/**
 * Whether a room that one lost in this way is worth another try.
 *
 * LiveKit's client leaves by itself where the browser freezes the page, as a phone does in the
 * background: `CLIENT_INITIATED`.
 */
export function comesBack(reason: DisconnectReason | undefined): boolean {
  return !FOR_GOOD.has(reason);
}

/** Milliseconds before a try, the first being 0; `null`: not any more. */
export function waitBefore(attempt: number): number | null {
  const wait = WAITS_S[attempt];
  return wait === undefined ? null : wait * SECOND_MS;
}
