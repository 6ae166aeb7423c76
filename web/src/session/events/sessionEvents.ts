/** Follows a session's events, which the service sends as they come. */

import { EVENT_TYPES, type SessionEvent } from './eventText';

const AGAIN_MS = 5_000;

/**
 * Follow until told to stop, or until the session is over.
 *
 * Where a connection broke the browser itself goes on; where one was refused it gives up for good.
 * A stream that is opened anew begins at its beginning: what was told already is not told again.
 */
export function follow(session: string, take: (event: SessionEvent) => void): () => void {
  let events: EventSource;
  let again: ReturnType<typeof setTimeout>;
  let told = '';
  const hear = ({ data, lastEventId }: MessageEvent<string>) => {
    if (!isLater(lastEventId, told)) return;
    told = lastEventId;
    const event = JSON.parse(data) as SessionEvent;
    take(event);
    if (event.type === 'ended') events.close();
  };
  const open = () => {
    events = new EventSource(`sessions/${encodeURIComponent(session)}/events`);
    for (const type of EVENT_TYPES) events.addEventListener(type, hear);
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED) again = setTimeout(open, AGAIN_MS);
    };
  };
  open();
  return () => {
    clearTimeout(again);
    events.close();
  };
}

/** Of redis's ids: two numbers, as in `1732604793000-2`. */
function isLater(id: string, other: string): boolean {
  return id.localeCompare(other, 'en', { numeric: true }) > 0;
}
