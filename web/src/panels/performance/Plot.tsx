/** The latest readings of one figure, drawn small, with the newest and the middle one in words. */

import { useSyncExternalStore } from 'react';
import { type Gauge, medianOf } from '../../session/connection/readings';
import { t } from '../../strings/strings';
import './Plot.css';
import { HEIGHT, lineOf, topOf, WIDTH } from './plot';

const SLOTS = 60;

interface Props {
  title: string;
  about: string;
  gauge: Gauge;
}

export function Plot({ title, about, gauge }: Props) {
  const readings = useSyncExternalStore(gauge.subscribe, gauge.read);
  const newest = readings.at(-1)?.value;
  const middle = medianOf(readings);
  const top = topOf(readings);
  return (
    <figure className="plot">
      <figcaption>
        <span>
          <span className="title">{title}</span>
          <span className="about">{about}</span>
        </span>
        <span className="now">{newest === undefined ? '–' : `${Math.round(newest)} ms`}</span>
      </figcaption>
      <span className="top">{top} ms</span>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden>
        <path className="grid" d={`M0 ${HEIGHT}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 0H${WIDTH}`} />
        <path className="curve" d={lineOf(readings, SLOTS, top)} />
      </svg>
      <p className="middle">
        {middle === null
          ? t.panels.figures.nothingYet
          : t.panels.figures.median(Math.round(middle))}
      </p>
    </figure>
  );
}
