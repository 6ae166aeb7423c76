/** A session's events in words. Pure; the other side of `protocol/events.py`. */

import type { Level } from '../../store/eventLog';
import { t } from '../../strings/strings';

export interface SessionEvent {
  type: string;
  at_s: number;
  [field: string]: unknown;
}

export const EVENT_TYPES = [
  'state',
  'transcript',
  'turn',
  'said',
  'tool_started',
  'tool_ended',
  'mind_said',
  'rated',
  'floor',
  'recording',
  'warning',
  'people',
  'dispatched',
  'waiting',
  'changed',
  'ended',
] as const;

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

function textOf(event: SessionEvent): string | null {
  const { events } = t.panels;
  const who = String(event.persona || event.identity || '');
  switch (event.type) {
    case 'transcript':
      return null;
    case 'state':
      return events.is(who, stateOf(event.state));
    case 'turn':
      return events.answered(who, event.latency_ms);
    case 'said':
      return event.whole ? events.said(who) : events.cutOff(who);
    case 'tool_started':
      return events.calls(who, event.tool);
    case 'tool_ended':
      return (event.ok ? events.took : events.failed)(who, event.tool, event.took_ms);
    case 'mind_said':
      return event.whole ? events.mindSaid(who) : events.mindCutOff(who);
    case 'rated':
      return events.rated(event.rating);
    case 'floor':
      return who ? events.floor(who) : events.noFloor;
    case 'recording':
      if (isFault(event)) return String(event.detail);
      return event.change === 'started' ? events.recordingBegan : events.recordingEnded;
    case 'people':
      return (event.change === 'left' ? events.left : events.came)(event.people);
    case 'dispatched':
      return events.dispatched(event.generation);
    case 'changed':
      return events.changes[String(event.change)] ?? events.changed(String(event.change));
    case 'waiting':
      return events.waits(t.refusals[String(event.code)] ?? event.detail);
    case 'warning':
      return t.refusals[String(event.code)] ?? String(event.detail);
    case 'ended':
      return events.ended(event.reason);
    default:
      return event.type;
  }
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
