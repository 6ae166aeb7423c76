/** A voice as a figure: at rest a flower of its own, alive with the sound of its track. */

import { type CSSProperties, useEffect, useMemo, useRef } from 'react';
import { type Loudness, Meter } from '../session/sound/meter';
import { figure, SILENCE } from './figure';
import type { Face } from './figureStyle';
import './VoiceFigure.css';

const LAYERS = 3;
const PICTURE_MS = 32; // half of what a screen could show: smooth, and easy on a phone's battery
const LAYER_DELAY_PICTURES = 3; // outer lines show what was heard this long ago, as ripples do
const TURN_RADIANS_PER_S = 0.12;

interface Props {
  face: Face;
  /** Without one the figure rests. */
  track?: MediaStreamTrack | undefined;
  /** A figure that will never sound needs no room to swell. */
  still?: boolean;
}

export function VoiceFigure({ face, track, still = false }: Props) {
  const svg = useRef<SVGSVGElement>(null);
  const rest = useMemo(
    () =>
      Array.from({ length: LAYERS }, (_, layer) =>
        figure(face.petals, SILENCE, 0, layer / (LAYERS - 1)),
      ),
    [face.petals],
  );

  useEffect(() => {
    if (!track || !svg.current) return;
    return animate(svg.current, track, face.petals);
  }, [track, face.petals]);

  const style = { '--hue': face.hue ?? 0 } as CSSProperties;
  return (
    <svg
      ref={svg}
      className={face.hue === null ? 'figure person' : 'figure'}
      style={style}
      viewBox={still ? '14 14 72 72' : '0 0 100 100'}
      aria-hidden
    >
      <circle className="core" cx="50" cy="50" r="24" />
      {rest.map((path, layer) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the layers never change places
        <path key={layer} className={`line line${layer}`} d={path} />
      ))}
    </svg>
  );
}

/** Draw the sound of a track until the returned function is called. Writes to the SVG without React. */
function animate(svg: SVGSVGElement, track: MediaStreamTrack, petals: number): () => void {
  const lines = [...svg.querySelectorAll<SVGPathElement>('.line')];
  const calm = matchMedia('(prefers-reduced-motion: reduce)');
  const meter = new Meter(track);
  const heard: Loudness[] = [];
  let next = 0;
  let drawnMs = 0;
  const draw = (nowMs: number) => {
    next = requestAnimationFrame(draw);
    if (nowMs - drawnMs < PICTURE_MS) return;
    drawnMs = nowMs;
    const { level, bands } = meter.read();
    svg.style.setProperty('--level', level.toFixed(3));
    heard.unshift({ level, bands: bands.slice() });
    heard.length = Math.min(heard.length, LAYERS * LAYER_DELAY_PICTURES);
    if (!calm.matches) {
      const turn = (nowMs / 1000) * TURN_RADIANS_PER_S;
      for (const [layer, line] of lines.entries()) {
        const then = heard[layer * LAYER_DELAY_PICTURES] ?? SILENCE;
        line.setAttribute('d', figure(petals, then, turn, layer / (LAYERS - 1)));
      }
    }
  };
  next = requestAnimationFrame(draw);
  return () => {
    cancelAnimationFrame(next);
    meter.close();
    svg.style.removeProperty('--level');
    for (const [layer, line] of lines.entries()) {
      line.setAttribute('d', figure(petals, SILENCE, 0, layer / (LAYERS - 1)));
    }
  };
}
