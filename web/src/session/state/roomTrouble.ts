/** Why a room cannot be joined or is gone, by LiveKit's own errors, in words. Pure. */

import { ConnectionError, ConnectionErrorReason, DisconnectReason } from 'livekit-client';
import { isOwn } from '../../service/ownMachine';
import { t } from '../../strings/strings';
import { type Trouble, textOf, type Words, wrong } from './trouble';

/** Explain why a room that one was in is gone. */
export function departureTrouble(reason: DisconnectReason | undefined): Trouble {
  const gone = (words: Words): Trouble => ({ ...wrong(words), kind: 'disconnected' });
  switch (reason) {
    case DisconnectReason.DUPLICATE_IDENTITY:
      return gone(t.trouble.twice);
    case DisconnectReason.PARTICIPANT_REMOVED:
      return gone(t.trouble.removed);
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return gone(t.trouble.closed);
    case DisconnectReason.SERVER_SHUTDOWN:
      return gone(t.trouble.shutdown);
    default:
      return gone(t.trouble.lost);
  }
}

/** Explain why a room cannot be joined. Names its address: the page's own is another one. */
export function roomTrouble(reason: unknown, url: string): Trouble {
  const { ticket, noPath, noLoopback, insecureRoom, noRoom } = t.trouble;
  if (reason instanceof ConnectionError && reason.reason === ConnectionErrorReason.NotAllowed) {
    return wrong(ticket);
  }
  if (/could not establish (pc|publisher|subscriber) connection/i.test(textOf(reason))) {
    return wrong(isOwn(new URL(url).hostname) ? noLoopback : noPath);
  }
  const insecure = location.protocol === 'https:' && url.startsWith('ws:');
  const words = insecure ? insecureRoom : noRoom;
  return wrong({ ...words, why: words.why(url) });
}
