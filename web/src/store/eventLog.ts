/** What happened, for the log panel: of the page itself, of LiveKit's client, of the session. */

import { Listeners } from './listeners';

export const LEVELS = ['info', 'warning', 'error'] as const;
export type Level = (typeof LEVELS)[number];
export type Source = 'page' | 'livekit' | 'session';

export interface Happening {
  id: number;
  /** Milliseconds of the epoch. */
  atMs: number;
  level: Level;
  source: Source;
  text: string;
  details: Record<string, unknown> | null;
}

const KEPT = 400;

export class Journal extends Listeners {
  private happenings: readonly Happening[] = [];
  private next = 0;

  readonly read = () => this.happenings;

  add(
    level: Level,
    source: Source,
    text: string,
    details: Record<string, unknown> | null = null,
    atMs = Date.now(),
  ): void {
    const one = { id: this.next++, atMs, level, source, text, details };
    this.happenings = [...this.happenings.slice(1 - KEPT), one];
    this.tell();
  }
}

/** The page has one. */
export const journal = new Journal();

/** Those at least as grave as a level that have every word looked for. Pure. */
export function sifted(
  happenings: readonly Happening[],
  least: Level,
  search: string,
): readonly Happening[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const gravity = LEVELS.indexOf(least);
  return happenings.filter((each) => {
    if (LEVELS.indexOf(each.level) < gravity) return false;
    const text = `${each.source} ${each.text} ${JSON.stringify(each.details)}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
