/** The screen that a link leads to: the room, its personas, and one button. */

import { useState } from 'react';
import type { EntryRequest } from '../session/state/entry';
import { t } from '../strings/strings';
import { Disclosure } from '../ui/Disclosure';
import { askedFor, choice, pickedOf } from './choice/choice';
import { NameInput } from './NameInput';
import { Pitch } from './Pitch';
import './JoinScreen.css';
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
  /** Whether a call was asked for, and will begin. */
  opening: boolean;
  onStart: (request: Omit<EntryRequest, 'identity'>) => void;
}

export function JoinScreen({ link, known, trouble, opening, onStart }: Props) {
  const { config } = known;
  const chosen = useRemembered(choice);
  const [name, setName] = useState(chosen.name);
  const catalogue = config?.personas ?? [];
  const asked = link.personas.filter((each) => catalogue.some((one) => one.name === each));
  const names = asked.length || !config ? asked : pickedOf(chosen, config);
  const shown = link.guest ? asked : names;
  const placed = usePlaced(link, known);
  const readiness = readinessOf(known, Math.max(1, names.length), trouble, { placed, opening });

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
      <Pitch
        names={shown}
        config={config}
        title={link.guest ? t.door.invited : t.door.room(link.room ?? '')}
        lead={link.guest ? t.door.invitedLead : t.door.lead}
        room={link.room}
      />
      <section className="choosing" aria-label={t.door.you}>
        <NameInput label={t.start.yourName} name={name} onName={setName} />
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
