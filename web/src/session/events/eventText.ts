/** A session's events in words. Pure; the other side of `protocol/events.py`. */

import type { Level } from '../../store/eventLog';
import { t } from '../../strings/strings';

export interface SessionEvent {
  type: string;
  at_s: number;
  [field: string]: unknown;
}

export interface Story {
  level: Level;
  text: string;
}

/** Tell an event in one line; `null` for what is seen elsewhere on the page anyway. */
export function storyOf(event: SessionEvent): Story | null {
  const text = textOf(event);
  if (text === null) return null;
  const grave = ['waiting', 'warning'].includes(event.type) || isFault(event);
  return { level: grave ? 'warning' : 'info', text };
}

function isFault({ type, detail }: SessionEvent): boolean {
  return type === 'recording' && Boolean(detail);
}

type Teller = (event: SessionEvent, who: string) => string | null;

/** What each type of event says; a type that is missing here is not listened to. */
const TEXTS: Record<string, Teller> = {
  transcript: () => null,
  state: ({ state }, who) => t.panels.events.is(who, stateOf(state)),
  turn: ({ latency_ms }, who) => t.panels.events.answered(who, latency_ms),
  said: ({ whole }, who) => (whole ? t.panels.events.said : t.panels.events.cutOff)(who),
  tool_started: ({ tool }, who) => t.panels.events.calls(who, tool),
  tool_ended: ({ ok, tool, took_ms }, who) =>
    (ok ? t.panels.events.took : t.panels.events.failed)(who, tool, took_ms),
  mind_said: ({ whole }, who) =>
    (whole ? t.panels.events.mindSaid : t.panels.events.mindCutOff)(who),
  rated: ({ rating }) => t.panels.events.rated(rating),
  floor: (_, who) => (who ? t.panels.events.floor(who) : t.panels.events.noFloor),
  recording: ({ change, detail }) => {
    if (detail) return String(detail);
    return change === 'started' ? t.panels.events.recordingBegan : t.panels.events.recordingEnded;
  },
  warning: ({ code, detail }) => t.refusals[String(code)] ?? String(detail),
  people: ({ change, people }) =>
    (change === 'left' ? t.panels.events.left : t.panels.events.came)(people),
  dispatched: ({ generation }) => t.panels.events.dispatched(generation),
  waiting: ({ code, detail }) => t.panels.events.waits(t.refusals[String(code)] ?? detail),
  changed: ({ change }) =>
    t.panels.events.changes[String(change)] ?? t.panels.events.changed(String(change)),
  ended: ({ reason }) => t.panels.events.ended(reason),
};

export const EVENT_TYPES = Object.keys(TEXTS);

function textOf(event: SessionEvent): string | null {
  const who = String(event.persona || event.identity || '');
  const tell = EVENT_TYPES.includes(event.type) ? TEXTS[event.type] : undefined;
  return tell ? tell(event, who) : event.type;
}

/** A persona's state, as LiveKit names it, for a reader. */
function stateOf(state: unknown): string {
  const { seat } = t;
  const words: Record<string, string> = {
    initializing: seat.warming,
    listening: seat.listening,
    speaking: seat.speaking,
  };
  return words[String(state)] ?? String(state);
}
