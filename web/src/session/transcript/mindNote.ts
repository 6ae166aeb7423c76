/** What a persona's mind tells on the topic `mind`, as a quiet line of the transcript. Pure. */

import { t } from '../../strings/strings';
import type { Segment } from './transcript';

interface Told {
  type?: unknown;
  call_id?: unknown;
  tool?: unknown;
  took_ms?: unknown;
  ok?: unknown;
  code?: unknown;
  detail?: unknown;
}

/** The line; `null` where there is none to show. A call's end replaces its beginning. */
export function noteOf(payload: Uint8Array): Pick<Segment, 'id' | 'text' | 'final'> | null {
  const told = read(payload);
  const tool = nameOf(told.tool);
  const seconds = typeof told.took_ms === 'number' ? (told.took_ms / 1000).toFixed(1) : '?';
  switch (told.type) {
    case 'tool_started':
      return { id: `${told.call_id}`, text: t.mind.looksUp(tool), final: false };
    case 'tool_ended':
      return told.ok === true
        ? { id: `${told.call_id}`, text: t.mind.lookedUp(tool, seconds), final: true }
        : { id: `${told.call_id}`, text: t.mind.failed(tool), final: true };
    case 'warning':
      return { id: `warning ${told.code}`, text: String(told.detail).slice(0, 200), final: true };
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
    const told: unknown = JSON.parse(new TextDecoder().decode(payload));
    return typeof told === 'object' && told !== null ? told : {};
  } catch {
    return {};
  }
}
