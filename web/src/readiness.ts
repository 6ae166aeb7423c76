/** Whether the start button may be pressed, and the words on and beside it. Pure. */

import { refusalTrouble, type Trouble, unreachable } from './trouble';
import type { Known } from './useConfig';

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

/** Weigh what the service says now against how the last try ended. */
export function readinessOf(known: Known, picked: number, last: Trouble | null): Readiness {
  const { config, reachable } = known;
  if (!reachable) return { ...NO, trouble: unreachable() };
  if (!config) return { ...NO, words: 'Looking for the server…' };
  const { code, reason } = config;
  const full = code === 'full';
  if (!config.ready && !full) {
    return { ...NO, trouble: refusalTrouble({ status: 503, code, message: reason }) };
  }
  if (picked === 0) return { ...NO, words: 'Pick at least one voice.', trouble: last };
  if (full) {
    return { ...YES, line: true, trouble: refusalTrouble({ status: 503, code, message: reason }) };
  }
  if (last) return { ...YES, trouble: last };
  return { ...YES, words: 'Your browser will ask for the microphone.' };
}
