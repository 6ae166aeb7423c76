/** What went wrong in words, and what to do about it. Pure: errors and reasons in, sentences out. */

import { ConnectionError, ConnectionErrorReason, DisconnectReason } from 'livekit-client';
import { Refused } from '../service/request';

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

/** Thrown with the browser's own error where the microphone gives nothing. */
export class MicrophoneFailed extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super('microphone failed');
    this.reason = reason;
  }
}

/** Thrown with LiveKit's own error where the room cannot be joined. */
export class RoomFailed extends Error {
  readonly reason: unknown;
  readonly url: string;

  constructor(reason: unknown, url: string) {
    super('room failed');
    this.reason = reason;
    this.url = url;
  }
}

/** What the token service answers when it says no; a `Refused` is one. */
type Refusal = Pick<Refused, 'status' | 'code' | 'message'>;

const AGAIN = 'Try again.';
const OWN_MACHINE = 'Open the page on the machine itself, or ask for an invitation link.';
const NO_KEY = 'It lets in only who has a key or an invitation: ask whoever runs it for a link.';
const OF_LINKS: ReadonlySet<string> = new Set(['session_ended', 'not_yours']);

/** Explain whatever ended the way into a room. */
export function troubleOf(error: unknown): Trouble {
  if (error instanceof InsecurePage) return insecurePage();
  if (error instanceof MicrophoneFailed) return microphoneTrouble(error.reason);
  if (error instanceof RoomFailed) return roomTrouble(error.reason, error.url);
  if (error instanceof Refused) return refusalTrouble(error);
  if (error instanceof TypeError || isTimeout(error)) return unreachable();
  return { kind: 'error', title: 'The call did not start', why: textOf(error), todo: AGAIN };
}

/** Explain why the service says no, by its own code and sentence. */
export function refusalTrouble({ status, code, message: why }: Refusal): Trouble {
  if (code === 'full') {
    const todo = 'You can wait in line: your turn comes by itself.';
    return { kind: 'full', title: 'Everybody is talking', why, todo };
  }
  if (code === 'room_full') {
    const todo = 'Try again when one of them has left.';
    return { kind: 'error', title: 'The room is full', why, todo };
  }
  if (code === 'too_many_personas') {
    return { kind: 'full', title: 'Too many voices', why, todo: 'Pick fewer voices.' };
  }
  const badPass = status === 401 && why.includes('invalid or expired'); // only guests come with a bearer
  if (badPass || OF_LINKS.has(code)) {
    const todo = 'Ask whoever invited you for a new link.';
    return { kind: 'error', title: 'This link leads nowhere', why, todo };
  }
  if (status === 401 || code === 'scope_missing') {
    const todo = why.includes('loopback') ? OWN_MACHINE : NO_KEY;
    return { kind: 'error', title: 'This server does not know you', why, todo };
  }
  if (code === 'invalid_input') {
    const todo = 'Change it under “Voices and sampling” or in your own prompt.';
    return { kind: 'error', title: 'Something chosen cannot be used', why, todo };
  }
  if (status === 429) {
    return { kind: 'error', title: 'Too many tries', why, todo: 'Wait a minute, then try again.' };
  }
  if (status === 503) {
    const todo = 'Wait a moment; this page looks every two seconds.';
    return { kind: 'error', title: 'Nobody can answer yet', why, todo };
  }
  const todo = 'Load the page again. If that does not help, tell whoever runs this server.';
  return { kind: 'error', title: 'The server said no', why, todo };
}

/** Explain why the microphone gives nothing, by the name of getUserMedia's error. */
function microphoneTrouble(reason: unknown): Trouble {
  switch (reason instanceof Error ? reason.name : '') {
    case 'NotAllowedError':
    case 'SecurityError':
      return {
        kind: 'error',
        title: 'The microphone is blocked',
        why: 'This page may not listen: the browser or the system said no.',
        todo: 'Allow the microphone with the icon beside the address, then try again.',
      };
    case 'NotFoundError':
    case 'OverconstrainedError':
      return {
        kind: 'error',
        title: 'No microphone found',
        why: 'The browser sees no device that could hear you.',
        todo: 'Plug one in or switch it on in the sound settings, then try again.',
      };
    case 'NotReadableError':
    case 'AbortError':
      return {
        kind: 'error',
        title: 'The microphone is in use',
        why: 'Another program holds it, or it failed to start.',
        todo: 'Close the other program or unplug and plug the microphone, then try again.',
      };
    default:
      return { kind: 'error', title: 'The microphone failed', why: textOf(reason), todo: AGAIN };
  }
}

/** Explain why a room that one was in is gone; `null` where the person left by choice. */
export function departureTrouble(reason: DisconnectReason | undefined): Trouble | null {
  const gone = (title: string, why: string, todo = AGAIN): Trouble => {
    return { kind: 'disconnected', title, why, todo };
  };
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return null;
    case DisconnectReason.DUPLICATE_IDENTITY:
      return gone('You joined from elsewhere', 'The same person came in a second time.');
    case DisconnectReason.PARTICIPANT_REMOVED:
      return gone('You were taken out of the room', 'Whoever runs this server ended your stay.');
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return gone('The room was closed', 'The server ended this call.');
    case DisconnectReason.SERVER_SHUTDOWN:
      return gone('The server is going down', 'It is being stopped or restarted.');
    default: {
      const todo = 'Check your network, then try again.';
      return gone('The connection is lost', 'The server did not answer for a while.', todo);
    }
  }
}

/** Explain why a room cannot be joined. Names its address: the page's own is another one. */
function roomTrouble(reason: unknown, url: string): Trouble {
  if (reason instanceof ConnectionError && reason.reason === ConnectionErrorReason.NotAllowed) {
    const why = 'The room did not accept this page’s ticket.';
    return { kind: 'error', title: 'Not let in', why, todo: AGAIN };
  }
  if (/could not establish (pc|publisher|subscriber) connection/i.test(textOf(reason))) {
    return {
      kind: 'error',
      title: 'Sound cannot get through',
      why: 'The room was reached, but the network lets no voice (UDP) pass.',
      todo: 'Try another network, or switch off the VPN or firewall that blocks it.',
    };
  }
  if (location.protocol === 'https:' && url.startsWith('ws:')) {
    return {
      kind: 'error',
      title: 'The room is not secure',
      why: `This page came by https, and browsers then refuse ${url}.`,
      todo: 'Whoever runs this server has to give the room a wss:// address.',
    };
  }
  return {
    kind: 'error',
    title: 'The room cannot be reached',
    why: `The page is here, but ${url} does not answer.`,
    todo: 'Check your network. If that is fine, tell whoever runs this server.',
  };
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError';
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}

/** Nothing answers at all. */
export function unreachable(): Trouble {
  return {
    kind: 'error',
    title: 'The server does not answer',
    why: 'It is not running, or the network does not reach it.',
    todo: 'Check your network, wait a moment, then try again.',
  };
}

function insecurePage(): Trouble {
  return {
    kind: 'error',
    title: 'This page is not secure',
    why: 'Browsers give a microphone only to https pages and to localhost.',
    todo: 'Open this page with https:// in front, or on the machine itself as http://localhost.',
  };
}
