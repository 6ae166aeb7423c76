/** What LiveKit's client complains about goes into the page's log, too. */

import { LogLevel, setLogExtension } from 'livekit-client';
import type { Journal } from '../../store/eventLog';

// No persona came within ten seconds, so what was said meanwhile is not kept: a wait, no fault.
const WAITED = /preconnect buffer|buffer already closed/;
const SECRET = /(access_token=)[^&\s}"]+/g;

/** Listen from now on. Call it once. */
export function overhear(journal: Journal): void {
  setLogExtension((level, message, context) => {
    if (level < LogLevel.warn) return;
    const fault = level >= LogLevel.error ? 'error' : 'warning';
    const grave = WAITED.test(message) ? 'info' : fault;
    journal.add(grave, 'livekit', message.replace(SECRET, '$1…'), plain(context));
  });
}

/** What of a context can be shown: no objects of the client, and an error's own words. */
function plain(context: object | undefined): Record<string, unknown> | null {
  if (!context) return null;
  const shown = Object.entries(context).flatMap(([key, value]) => {
    if (value instanceof Error) return [[key, value.message.replace(SECRET, '$1…')]];
    return typeof value === 'object' ? [] : [[key, value]];
  });
  return Object.fromEntries(shown);
}
