/** Whether the start button may be pressed, and the words on and beside it. Pure. */

import type { Known } from '../service/useConfig';
import { IN_TURN, refusalTrouble, type Trouble, unreachable } from '../session/state/trouble';
import { t } from '../strings/strings';

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
 * `undescribed`: the person's own character is picked and has no description.
 * `opening`: the call was asked for, and a part of the page is on its way.
 */
export function readinessOf(
  known: Known,
  picked: number,
  last: Trouble | null,
  { placed = false, undescribed = false, opening = false } = {},
): Readiness {
  const { config, reachable } = known;
  if (opening) return { ...NO, words: t.start.opening };
  if (!reachable) return { ...NO, trouble: unreachable() };
  if (!config) return { ...NO, words: t.start.looking };
  const { code, reason } = config;
  if (code === 'loading_model' && !placed) return { ...NO, words: t.start.loading };
  const refused = !config.ready && !placed;
  const refusal = refused ? refusalTrouble({ status: 503, code, message: reason }) : null;
  if (refusal && !IN_TURN.has(code)) return { ...NO, trouble: refusal };
  if (picked === 0) return { ...NO, words: t.start.pickOne, trouble: last };
  if (undescribed) return { ...NO, words: t.start.describe, trouble: last };
  if (refusal) return { ...YES, line: true, trouble: refusal };
  if (last) return { ...YES, trouble: last };
  return { ...YES, words: t.start.willAsk };
}
