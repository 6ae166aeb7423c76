/** The states of a call. Pure. */

import type { PersonaView, Rated } from '../../service/sessions';
import type { Recording } from './entry';
import type { Trouble } from './trouble';

export type Phase =
  | 'connecting'
  | 'full'
  | 'warming'
  | 'live'
  | 'reconnecting'
  | 'ended'
  | 'disconnected'
  | 'error';

export interface CallState {
  phase: Phase;
  /** While connecting: what is waited for. */
  step: string;
  /** While no voice is there: the service's sentence why, if it knows one. */
  reason: string;
  /** The place in the line; 0 while there is no line. */
  position: number;
  /** Why the call is over or broken, unless the person ended it. */
  trouble: Trouble | null;
  /** What is wrong with microphone or loudspeaker while the call goes on. */
  soundTrouble: Trouble | null;
  /** `performance.now()` when a voice was first there. */
  liveSinceMs: number | null;
  /** `performance.now()` of the next try to come back; `null` while a try is under way. */
  retryAtMs: number | null;
  session: string | null;
  rated: Rated | null;
  room: string | null;
  /** The personas to expect, and whether each is muted. */
  personas: readonly PersonaView[];
  /** How people of the room come to be recorded; `null` where none are. */
  recording: Recording | null;
  /** Whether the person is asked, or told, before a recorded room is joined. */
  asksToRecord: boolean;
  /** The microphone as it is heard now. */
  microphone: MediaStreamTrack | null;
}

export const BEGINNING: CallState = {
  phase: 'connecting',
  step: '',
  reason: '',
  position: 0,
  trouble: null,
  soundTrouble: null,
  liveSinceMs: null,
  retryAtMs: null,
  session: null,
  rated: null,
  room: null,
  personas: [],
  recording: null,
  asksToRecord: false,
  microphone: null,
};

/** Whether a call in this phase has ended. */
export function isOver(phase: Phase): boolean {
  return phase === 'ended' || phase === 'disconnected' || phase === 'error';
}
