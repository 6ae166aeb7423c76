/** Before a call: the choice of personas, settings, and the start button. */

import type { EntryRequest } from '../session/state/entry';
import { useRemembered } from '../store/stored';
import { t } from '../strings/strings';
import { Disclosure } from '../ui/Disclosure';
import { askedFor, choice, isUndescribed, pickedOf } from './choice/choice';
import { NameInput } from './NameInput';
import { Pitch } from './Pitch';
import { PersonaCards } from './personas/PersonaCards';
import { readinessOf } from './readiness';
import { StartButton } from './StartButton';
import { SoundSettings } from './sound/SoundSettings';
import './StartScreen.css';
import type { Known } from '../service/useConfig';
import type { Trouble } from '../session/state/trouble';
import { Tuning } from './personas/Tuning';

interface Props {
  known: Known;
  /** Why the last try came to nothing. */
  trouble: Trouble | null;
  /** Whether a call was asked for, and will begin. */
  opening: boolean;
  onStart: (request: Omit<EntryRequest, 'identity'>) => void;
}

export function StartScreen({ known, trouble, opening, onStart }: Props) {
  const { config } = known;
  const chosen = useRemembered(choice);
  const picked = config ? pickedOf(chosen, config) : [];
  const readiness = readinessOf(known, picked.length, trouble, {
    undescribed: isUndescribed(chosen, picked),
    opening,
  });

  const start = () => {
    if (!config) return;
    onStart({
      personas: askedFor(chosen, picked, config),
      room: null,
      guest: null,
      name: chosen.name.trim() || t.start.guest,
    });
  };

  return (
    <main className="start">
      <Pitch names={picked} config={config} title={t.start.title} lead={t.start.lead} />
      <section className="choosing" aria-label={t.start.choice}>
        {config && (
          <>
            <PersonaCards chosen={chosen} picked={picked} config={config} />
            <div className="folds">
              <Disclosure title={t.start.sound} hint={t.start.soundHint}>
                <SoundSettings />
              </Disclosure>
              <Tuning chosen={chosen} picked={picked} config={config} />
              <Disclosure title={t.start.yourName} hint={chosen.name || t.start.guest}>
                <NameInput
                  label={t.start.nameInRoom}
                  name={chosen.name}
                  onName={(name) => choice.set({ name })}
                />
              </Disclosure>
            </div>
          </>
        )}
      </section>
      <StartButton readiness={readiness} label={t.start.go} onStart={start} />
    </main>
  );
}
