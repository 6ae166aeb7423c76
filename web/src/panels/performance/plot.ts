/** The line of a small plot. Pure: readings in, an SVG path out. */

import type { Reading } from '../../session/connection/readings';

export const WIDTH = 100;
export const HEIGHT = 32;

const LEAST_TOP = 50; // so that a calm line of small values looks calm

/** The line, the newest at the right end, over a scale from 0 to `top`; a single one is a dot. */
export function lineOf(readings: readonly Reading[], slots: number, top: number): string {
  const step = WIDTH / Math.max(1, slots - 1);
  const first = WIDTH - step * (readings.length - 1);
  const line = readings
    .map(({ value }, at) => {
      const x = first + step * at;
      const y = HEIGHT - (Math.min(value, top) / top) * HEIGHT;
      return `${at ? 'L' : 'M'}${x.toFixed(2)} ${y.toFixed(2)}`;
    })
    .join('');
  return readings.length === 1 ? `${line}h0` : line;
}

/** A round number above all values. */
export function topOf(readings: readonly Reading[]): number {
  const most = Math.max(LEAST_TOP, ...readings.map(({ value }) => value));
  const power = 10 ** Math.floor(Math.log10(most));
  return Math.ceil(most / power) * power;
}
