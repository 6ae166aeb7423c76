/** A value that this browser remembers, for all parts of the page that read it. */

import { useSyncExternalStore } from 'react';
import { Listeners } from './listeners';

const PREFIX = 'moshi-rooms.';

/** Whether a stored value, which has the right type already, means anything. */
export type Checks<T> = { [K in keyof T]?: (value: T[K]) => boolean };

export class Remembered<T extends object> extends Listeners {
  private value: T;
  private readonly key: string;

  /**
   * `fallback` says what there is; whatever else or of another type is stored is not believed, nor
   * what `checks` refuse.
   */
  constructor(key: string, fallback: T, checks: Checks<T> = {}) {
    super();
    this.key = PREFIX + key;
    this.value = merged(fallback, stored(this.key), checks);
  }

  readonly read = () => this.value;

  set(change: Partial<T>): void {
    this.value = { ...this.value, ...change };
    try {
      localStorage.setItem(this.key, JSON.stringify(this.value));
    } catch {
      // A browser that stores nothing forgets the choice with the page.
    }
    this.tell();
  }
}

/** The value now; the component follows its changes. */
export function useRemembered<T extends object>(remembered: Remembered<T>): T {
  return useSyncExternalStore(remembered.subscribe, remembered.read);
}

/** Take from what was stored only what is known, of the same type and not refused by its check. */
export function merged<T extends object>(fallback: T, found: unknown, checks: Checks<T> = {}): T {
  if (typeof found !== 'object' || found === null) return fallback;
  const value = { ...fallback };
  for (const key of Object.keys(fallback) as (keyof T & string)[]) {
    const other = (found as Record<string, unknown>)[key];
    const usual = fallback[key];
    if (typeof other !== typeof usual || Array.isArray(other) !== Array.isArray(usual)) continue;
    if (other === null || checks[key]?.(other as T[typeof key]) === false) continue;
    value[key] = other as T[keyof T & string];
  }
  return value;
}

function stored(key: string): unknown {
  try {
    return JSON.parse(localStorage.getItem(key) ?? 'null');
  } catch {
    return null;
  }
}
