/** A session's events in words. Pure; the other side of `protocol/events.py`. */

import type { Level } from '../service/eventLog';

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

const CHANGES: Record<string, string> = {
  added: 'A persona was added',
  removed: 'A persona was removed',
  muted: 'A persona was muted',
  unmuted: 'A persona may be heard again',
  forget: 'A persona got a fresh memory',
  say: 'A persona was given a line',
};

/** Tell an event in one line; `null` for what is seen elsewhere on the page anyway. */
export function storyOf(event: SessionEvent): Story | null {
  const who = String(event.persona || event.identity || '');
  const info = (text: string): Story => ({ level: 'info', text });
  switch (event.type) {
    case 'transcript':
      return null;
    case 'state':
      return info(`${who} is ${event.state}`);
    case 'turn':
      return info(`${who} answered after ${event.latency_ms} ms`);
    case 'said':
      return info(event.whole ? `${who} has said a line` : `${who} was cut off in a line`);
    case 'tool_started':
      return info(`${who} calls ${event.tool}`);
    case 'tool_ended':
      return info(
        `${who}: ${event.tool} ${event.ok ? 'took' : 'failed after'} ${event.took_ms} ms`,
      );
    case 'mind_said':
      return info(event.whole ? `${who} has said its mind’s sentence` : `${who} was cut off`);
    case 'floor':
      return info(who ? `${who} has the floor` : 'Nobody has the floor');
    case 'recording':
      if (event.detail) return { level: 'warning', text: String(event.detail) };
      return info(`The recording ${event.change === 'started' ? 'has begun' : 'is over'}`);
    case 'people':
      return info(`Somebody ${event.change === 'left' ? 'left' : 'came'}; people: ${event.people}`);
    case 'dispatched':
      return info(`A worker was asked to host the room (generation ${event.generation})`);
    case 'changed':
      return info(CHANGES[String(event.change)] ?? `Changed: ${event.change}`);
    case 'waiting':
      return { level: 'warning', text: `The room waits: ${event.detail}` };
    case 'warning':
      return { level: 'warning', text: String(event.detail) };
    case 'ended':
      return info(`The session is over: ${event.reason}`);
    default:
      return info(event.type);
  }
}
