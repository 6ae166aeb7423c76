/** One line on what to expect now, in words. Pure. */

import type { CallState } from '../../session/state/phase';
import { t } from '../../strings/strings';

/** `long`: the wait for a voice has grown long. `serviceReason`: why the service is not ready. */
export function expectationOf(state: CallState, long: boolean, serviceReason: string): string {
  const { phase, step, reason, position, liveSinceMs, retryAtMs, personas } = state;
  switch (phase) {
    case 'connecting':
      return step;
    case 'full':
      return t.call.inLine(position);
    case 'reconnecting':
      return retryAtMs === null ? t.call.lost : '';
    case 'warming':
      if (liveSinceMs) return `${t.call.droppedOut(personas[0]?.label ?? '')} ${reason}`.trim();
      if (reason) return reason;
      return long ? `${t.call.slow} ${serviceReason}`.trim() : t.call.waiting;
    default:
      return t.call.goAhead;
  }
}

/** The shortest question that one could ask these personas; empty where their files have none. */
export function questionOf(
  personas: readonly { name: string }[],
  catalogue: readonly { name: string; examples: readonly string[] }[],
): string {
  const asked = personas.flatMap(({ name }) => catalogue.filter((one) => one.name === name));
  const [first = '', ...others] = asked.flatMap(({ examples }) => examples);
  return others.reduce((least, one) => (one.length < least.length ? one : least), first);
}

/** What a muted person reads. `inVain`: this person has just talked. */
export function mutedWords(inVain: boolean): string {
  return inVain ? t.call.inVain : t.call.muted;
}
