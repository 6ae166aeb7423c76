/** The screen that a link leads to: the room, its personas, and one button. */

import { useState } from 'react';
import { faceOf, PERSON } from '../figure/figureStyle';
import type { EntryRequest } from '../session/state/entry';
import { t } from '../strings/strings';
import { Disclosure } from '../ui/Disclosure';
import { Field } from '../ui/Field';
import { askedFor, choice, pickedOf } from './choice/choice';
import { Disclaimer } from './Disclaimer';
import './JoinScreen.css';
import { VoiceFigure } from '../figure/VoiceFigure';
import type { Known } from '../service/useConfig';
import type { Trouble } from '../session/state/trouble';
import { useRemembered } from '../store/stored';
import type { Link } from './choice/link';
import { readinessOf } from './readiness';
import { StartButton } from './StartButton';
import { SoundSettings } from './sound/SoundSettings';
import { usePlaced } from './useReservation';

interface Props {
  link: Link;
  known: Known;
  /** Why the last try came to nothing. */
  trouble: Trouble | null;
  onStart: (request: Omit<EntryRequest, 'identity'>) => void;
}

export function JoinScreen({ link, known, trouble, onStart }: Props) {
  const { config } = known;
  const chosen = useRemembered(choice);
  const [name, setName] = useState(chosen.name);
  const catalogue = config?.personas ?? [];
  const asked = link.personas.filter((each) => catalogue.some((one) => one.name === each));
  const names = asked.length || !config ? asked : pickedOf(chosen, config);
  const shown = link.guest ? asked : names;
  const placed = usePlaced(link, known);
  const readiness = readinessOf(known, Math.max(1, names.length), trouble, { placed });

  const start = () => {
    if (!config) return;
    choice.set({ name });
    const { room, guest } = link;
    onStart({
      personas: askedFor(chosen, shown, config),
      room,
      guest,
      name: name.trim() || t.start.guest,
    });
  };

  return (
    <main className="start join">
      <section className="pitch">
        <div className="bouquet">
          {shown.slice(0, 3).map((each) => (
            <VoiceFigure key={each} face={faceOf(each, catalogue)} still />
          ))}
          {shown.length === 0 && <VoiceFigure face={PERSON} still />}
        </div>
        <h1 tabIndex={-1} title={link.room ?? undefined}>
          {link.guest ? t.door.invited : t.door.room(link.room ?? '')}
        </h1>
        <p className="lead">{link.guest ? t.door.invitedLead : t.door.lead}</p>
        {config?.model?.note && <p className="note">{config.model.note}</p>}
        {config && <Disclaimer config={config} />}
      </section>
      <section className="choosing" aria-label={t.door.you}>
        <Field label={t.start.yourName}>
          <input
            value={name}
            maxLength={60}
            dir="auto"
            placeholder={t.start.guest}
            autoComplete="nickname"
            onChange={(event) => setName(event.target.value)}
          />
        </Field>
        <Disclosure title={t.start.sound} hint={t.start.soundHint}>
          <SoundSettings />
        </Disclosure>
        {!link.guest && (
          <p className="soft">
            <a href="./">{t.door.others}</a>
          </p>
        )}
      </section>
      <StartButton readiness={readiness} label={t.door.join} onStart={start} />
    </main>
  );
}
