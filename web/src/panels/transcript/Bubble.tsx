/** What one speaker said before a pause, or before another one did. */

import { type CSSProperties, memo } from 'react';
import { t } from '../../strings/strings';
import './Bubble.css';
import type { Face } from '../../figure/figureStyle';
import { isSame, type Turn } from '../../session/transcript/transcript';

interface Props {
  turn: Turn;
  face: Face;
  own: boolean;
  /** Of the words, where it is known. */
  language: string | undefined;
}

/** Drawn anew only where its words have changed: there are many, and words come all the time. */
export const Bubble = memo(
  Words,
  (was, is) => was.own === is.own && was.face.hue === is.face.hue && isSame(was.turn, is.turn),
);

function Words({ turn, face, own, language }: Props) {
  if (turn.note) return <p className="note">{turn.segments.map(({ text }) => text)}</p>;
  const open = turn.segments.some(({ final }) => !final);
  return (
    <article
      className={face.hue === null ? 'bubble person' : 'bubble'}
      data-identity={turn.identity}
      data-open={open}
      data-own={own}
      style={{ '--hue': face.hue ?? 0 } as CSSProperties}
    >
      <span className="who">
        <bdi>{own ? t.transcript.you : turn.label}</bdi>
        {turn.typed && <span className="how"> {t.transcript.typed}</span>}
      </span>
      <p dir="auto" lang={language}>
        {turn.segments.map(({ text }) => text.trim()).join(' ')}
      </p>
    </article>
  );
}
