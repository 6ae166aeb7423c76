/** Whether the start button may be pressed, and the words on and beside it. Pure. */

import type { Known } from '../service/useConfig';
import { refusalTrouble, type Trouble, unreachable } from '../session/trouble';

export interface Readiness {
  ready: boolean;
  /** Ready only to wait in line. */
  line: boolean;
  /** One line for the moment when all is well. */
  words: string;
  trouble: Trouble | null;
}

const NO = { ready: false, line: false, words: '', trouble: null };
const YES = { ...NO, ready: true };

/**
 * Weigh what the service says now against how the last try ended.
 *
 * `placed`: one goes to a room that has its place, and takes none of those that the service counts.
 */
export function readinessOf(
  known: Known,
  picked: number,
  last: Trouble | null,
  placed = false,
): Readiness {
  const { config, reachable } = known;
  if (!reachable) return { ...NO, trouble: unreachable() };
  if (!config) return { ...NO, words: 'Looking for the server…' };
  const { code, reason } = config;
  const refused = !config.ready && !placed;
  const refusal = refused ? refusalTrouble({ status: 503, code, message: reason }) : null;
  if (refusal && code !== 'full') return { ...NO, trouble: refusal };
  if (picked === 0) return { ...NO, words: 'Pick at least one voice.', trouble: last };
  if (refusal) return { ...YES, line: true, trouble: refusal };
  if (last) return { ...YES, trouble: last };
  return { ...YES, words: 'Your browser will ask for the microphone.' };
}
