/** One line on what to expect now, in words. Pure. */

import type { CallState } from '../session/phase';

/** `long`: the wait for a voice has grown long. `serviceReason`: why the service is not ready. */
export function expectationOf(state: CallState, long: boolean, serviceReason: string): string {
  const { phase, step, reason, position, liveSinceMs, retryAtMs, personas } = state;
  switch (phase) {
    case 'connecting':
      return `${step}…`;
    case 'full':
      return lineOf(position);
    case 'reconnecting':
      return retryAtMs === null ? 'The connection broke. Getting it back…' : '';
    case 'warming':
      if (reason) return `${liveSinceMs ? 'The voice is gone. ' : ''}${reason}`;
      if (liveSinceMs) return 'The voice is gone. Waiting for it to come back…';
      if (long) return `This takes longer than usual. ${serviceReason}`.trim();
      return 'You are in the room. Waiting for an answer…';
    default:
      return personas.length > 1
        ? 'Just speak. Who is named answers first.'
        : 'Speak whenever you like, also while it speaks.';
  }
}

function lineOf(position: number): string {
  const place = position > 1 ? `You are number ${position} in line.` : 'You are next in line.';
  return `All places are taken. ${place} It begins by itself.`;
}
