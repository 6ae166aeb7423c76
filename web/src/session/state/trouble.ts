/** What went wrong in words, and what to do about it. Pure: errors in, sentences out. */

import { Refused } from '../../service/request';
import { t } from '../../strings/strings';

export interface Trouble {
  kind: 'full' | 'disconnected' | 'error';
  title: string;
  /** The reason, one sentence. */
  why: string;
  /** What the person can do. */
  todo: string;
}

/** Thrown where the browser gives no page like this one a microphone. */
export class InsecurePage extends Error {}

/** Thrown where the browser has no part of WebRTC, or its person has switched that off. */
export class NoWebRtc extends Error {}

/** Thrown with the browser's own error where the microphone gives nothing. */
export class MicrophoneFailed extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super('microphone failed');
    this.reason = reason;
  }
}

/** Thrown with what to tell where the room cannot be joined. */
export class RoomFailed extends Error {
  readonly trouble: Trouble;

  constructor(trouble: Trouble) {
    super(trouble.title);
    this.trouble = trouble;
  }
}

/** Thrown where a part of the page cannot be fetched. */
export class PageIncomplete extends Error {}

/** What the token service answers when it says no; a `Refused` is one. */
type Refusal = Pick<Refused, 'status' | 'code' | 'message'>;

/** The codes of a service that takes one in turn. */
export const IN_TURN: ReadonlySet<string> = new Set(['full', 'too_slow', 'in_line']);

const OF_LINKS: ReadonlySet<string> = new Set(['session_ended', 'not_yours']);

/** Explain whatever ended the way into a room. */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof InsecurePage) return wrong(t.trouble.insecurePage);
  if (error instanceof NoWebRtc) return wrong(t.trouble.noWebRtc);
  if (error instanceof MicrophoneFailed) return microphoneTrouble(error.reason);
  if (error instanceof RoomFailed) return error.trouble;
  if (error instanceof PageIncomplete) return wrong(t.trouble.incomplete);
  if (error instanceof Refused) return refusalTrouble(error);
  if (error instanceof TypeError || isTimeout(error)) return unreachable();
  return wrong({ ...t.trouble.failed, why: textOf(error) });
}

/** Explain why the service says no: by its own code, and by its sentence where that says more. */
export function refusalTrouble({ status, code, message }: Refusal): Trouble {
  const why = t.refusals[code] ?? message;
  const { trouble } = t;
  if (IN_TURN.has(code)) {
    const title = code === 'too_slow' ? trouble.slow : null;
    return { ...wrong({ ...trouble.full, ...title, why }), kind: 'full' };
  }
  if (code === 'room_full') return wrong({ ...trouble.roomFull, why });
  if (code === 'too_many_personas') return { ...wrong({ ...trouble.tooMany, why }), kind: 'full' };
  const badPass = status === 401 && message.includes('invalid or expired'); // only guests come with a bearer
  // Links alone name rooms.
  const badRoom = code === 'invalid_input' && message.startsWith('room_name:');
  if (badPass || badRoom || OF_LINKS.has(code)) return wrong({ ...trouble.link, why });
  if (status === 401 || code === 'scope_missing') {
    const todo = message.includes('loopback') ? trouble.ownMachine : trouble.noKey;
    return wrong({ ...trouble.unknown, why, todo });
  }
  if (code === 'invalid_input') return wrong({ ...trouble.input, why });
  if (status === 429) return wrong({ ...trouble.tooFast, why });
  if (status === 503) return wrong({ ...trouble.notReady, why });
  return wrong({ ...trouble.refused, why });
}

/** Explain why the microphone gives nothing, by the name of getUserMedia's error. */
function microphoneTrouble(reason: unknown): Trouble {
  switch (reason instanceof Error ? reason.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return wrong(t.trouble.blocked);
    case 'NotFoundError':
    case 'OverconstrainedError':
      return wrong(t.trouble.noMicrophone);
    case 'NotReadableError':
    case 'AbortError':
      return wrong(t.trouble.busyMicrophone);
    default:
      return wrong({ ...t.trouble.microphone, why: textOf(reason) });
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError';
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** Nothing answers at all. */
export function unreachable(): Trouble {
  return wrong(t.trouble.unreachable);
}

export interface Words {
  title: string;
  why: string;
  todo?: string;
}

/** A trouble of the ordinary kind; without better advice one tries again. */
export function wrong({ title, why, todo = t.trouble.again }: Words): Trouble {
  return { kind: 'error', title, why, todo };
}
