/** What this page offers: figures of the voices, a heading, and what one should know before. */

import { faceOf, PERSON } from '../figure/figureStyle';
import { VoiceFigure } from '../figure/VoiceFigure';
import type { Config } from '../service/service';
import { Disclaimer } from './Disclaimer';

const SHOWN = 3;

interface Props {
  /** The personas to talk with. */
  names: readonly string[];
  config: Config | null;
  title: string;
  lead: string;
  /** The room's name, which the title may show in part. */
  room?: string | null;
}

export function Pitch({ names, config, title, lead, room }: Props) {
  return (
    <section className="pitch">
      <div className="bouquet">
        {names.slice(0, SHOWN).map((name) => (
          <VoiceFigure key={name} face={faceOf(name, config?.personas ?? [])} still />
        ))}
        {config && names.length === 0 && <VoiceFigure face={PERSON} still />}
      </div>
      <h1 tabIndex={-1} title={room ?? undefined}>
        {title}
      </h1>
      <p className="lead">{lead}</p>
      {config?.model?.note && <p className="note">{config.model.note}</p>}
      {config && <Disclaimer config={config} />}
    </section>
  );
}
