/** Follows a session's events, which the service sends as they come. */

import { EVENT_TYPES, type SessionEvent } from './eventText';

const AGAIN_MS = 5_000;

/**
 * Follow until the returned function is called, or until the session has ended.
 *
 * The browser reconnects by itself after a break, and gives up after a refusal. A stream that is
 * opened again starts with the first event: events that were delivered are skipped.
 */
export function follow(session: string, take: (event: SessionEvent) => void): () => void {
  let events: EventSource;
  let again: ReturnType<typeof setTimeout>;
  let latest = '';
  const hear = ({ data, lastEventId }: MessageEvent<string>) => {
    if (!isLater(lastEventId, latest)) return;
    latest = lastEventId;
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

/** Compare two ids of redis: two numbers each, as in `1732604793000-2`. */
function isLater(id: string, other: string): boolean {
  return id.localeCompare(other, 'en', { numeric: true }) > 0;
}
