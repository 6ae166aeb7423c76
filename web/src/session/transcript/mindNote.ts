/** What a persona's mind tells on the topic `mind`, as a quiet line of the transcript. Pure. */

import { decimal, t } from '../../strings/strings';
import type { Segment } from './transcript';

interface Told {
  type?: unknown;
  call_id?: unknown;
  tool?: unknown;
  took_ms?: unknown;
  ok?: unknown;
  code?: unknown;
  detail?: unknown;
  at_s?: unknown;
}

/** The line; `null` where there is none to show. A call's end replaces its beginning. */
export function noteOf(payload: Uint8Array): Pick<Segment, 'id' | 'text' | 'final'> | null {
  const event = read(payload);
  const tool = nameOf(event.tool);
  const seconds = typeof event.took_ms === 'number' ? decimal(event.took_ms / 1000, 1) : '?';
  switch (event.type) {
    case 'tool_started':
      return { id: `${event.call_id}`, text: t.mind.looksUp(tool), final: false };
    case 'tool_ended':
      return event.ok === true
        ? { id: `${event.call_id}`, text: t.mind.lookedUp(tool, seconds), final: true }
        : { id: `${event.call_id}`, text: t.mind.failed(tool), final: true };
    case 'warning': {
      const id = `warning ${event.code} ${event.at_s}`; // the next one stands where it comes
      return { id, text: String(event.detail).slice(0, 200), final: true };
    }
    default:
      return null;
  }
}

/** `opening_hours` for a reader. */
function nameOf(tool: unknown): string {
  return String(tool).replaceAll(/[_-]+/g, ' ').slice(0, 64);
}

function read(payload: Uint8Array): Told {
  try {
    const event: unknown = JSON.parse(new TextDecoder().decode(payload));
    return typeof event === 'object' && event !== null ? event : {};
  } catch {
    return {};
  }
}
