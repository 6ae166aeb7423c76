/** The line around a voice: a closed curve with petals at rest that swells with the sound. Pure. */

import { BANDS, type Loudness } from '../session/sound/meter';

const POINTS = 56;
const REST = 30; // radius at rest, in a box of 100 around the middle
const PETAL_DEPTH = 0.06;
const WEAVE = 0.5; // of a petal's width: how far each line is turned against the one inside it
const SPREAD = 3;
const SWELL = 11; // how far the loudest sound pushes the line out
const SPIKE = 9; // how far a band of the spectrum does

export const SILENCE: Loudness = { level: 0, bands: new Float32Array(BANDS) };

/** An SVG path. `turn` in radians; `spread` 0 for the inner line, 1 for the outermost. */
export function figure(petals: number, loudness: Loudness, turn: number, spread: number): string {
  const points: [number, number][] = [];
  for (let at = 0; at < POINTS; at++) {
    const angle = (at / POINTS) * 2 * Math.PI;
    const petal =
      1 + PETAL_DEPTH * Math.cos(petals * (angle + turn) + spread * WEAVE * 2 * Math.PI);
    const swell = loudness.level * SWELL * (0.35 + 0.65 * spread);
    const spike = bandAt(loudness, angle) * SPIKE * (0.4 + 0.6 * spread);
    const radius = REST * petal + spread * SPREAD + swell + spike * loudness.level;
    points.push([50 + radius * Math.sin(angle), 50 - radius * Math.cos(angle)]);
  }
  return closedCurve(points);
}

/** Low tones at the top, high ones at the bottom, the same left and right. */
function bandAt(loudness: Loudness, angle: number): number {
  const along = (angle <= Math.PI ? angle : 2 * Math.PI - angle) / Math.PI;
  const place = along * (BANDS - 1);
  const below = Math.floor(place);
  const share = place - below;
  const low = loudness.bands[below] ?? 0;
  return low + ((loudness.bands[below + 1] ?? low) - low) * share;
}

/** Quadratic arcs through the middles between points: smooth, and one number pair per point. */
function closedCurve(points: [number, number][]): string {
  const middle = (at: number) => {
    const [x, y] = points[at % points.length] ?? [50, 50];
    const [nextX, nextY] = points[(at + 1) % points.length] ?? [50, 50];
    return `${((x + nextX) / 2).toFixed(2)} ${((y + nextY) / 2).toFixed(2)}`;
  };
  const arcs = points.map(([x, y], at) => `Q${x.toFixed(2)} ${y.toFixed(2)} ${middle(at)}`);
  return `M${middle(points.length - 1)}${arcs.join('')}Z`;
}
