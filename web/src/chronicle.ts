/** Follows a session's events, which the service sends as they come, into the journal. */

import type { Journal } from './journal';
import { EVENT_TYPES, type SessionEvent, storyOf } from './story';

/** Follow until told to stop. The browser itself goes on where a connection broke. */
export function follow(session: string, journal: Journal): () => void {
  const events = new EventSource(`/sessions/${encodeURIComponent(session)}/events`);
  const take = ({ data }: MessageEvent<string>) => {
    const event = JSON.parse(data) as SessionEvent;
    const story = storyOf(event);
    if (story) journal.add(story.level, 'session', story.text, event, event.at_s * 1000);
    if (event.type === 'ended') events.close();
  };
  for (const type of EVENT_TYPES) events.addEventListener(type, take);
  return () => events.close();
}
