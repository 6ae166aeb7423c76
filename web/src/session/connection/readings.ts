/** A figure over time: the latest readings of one thing. */

import { Listeners } from '../../store/listeners';

export interface Reading {
  atMs: number;
  value: number;
}

const KEPT = 60;

export class Gauge extends Listeners {
  private readings: readonly Reading[] = [];

  readonly read = () => this.readings;

  add(value: number, atMs = performance.now()): void {
    this.readings = [...this.readings.slice(1 - KEPT), { atMs, value }];
    this.tell();
  }
}

/** The value that half of the readings are below. */
export function medianOf(readings: readonly Reading[]): number | null {
  const values = readings.map(({ value }) => value).sort((a, b) => a - b);
  const middle = values.length >> 1;
  const upper = values[middle];
  if (upper === undefined) return null;
  return values.length % 2 ? upper : (upper + (values[middle - 1] ?? upper)) / 2;
}
