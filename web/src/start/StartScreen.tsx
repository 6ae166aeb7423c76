/** Before a call: the choice of personas, settings, and the start button. */

import { faceOf } from '../figure/figureStyle';
import type { EntryRequest } from '../session/state/entry';
import { useRemembered } from '../store/stored';
import { t } from '../strings/strings';
import { Disclosure } from '../ui/Disclosure';
import { Field } from '../ui/Field';
import { askedFor, choice, isUndescribed, pickedOf } from './choice/choice';
import { Disclaimer } from './Disclaimer';
import { PersonaCards } from './personas/PersonaCards';
import { readinessOf } from './readiness';
import { StartButton } from './StartButton';
import { SoundSettings } from './sound/SoundSettings';
import './StartScreen.css';
import { VoiceFigure } from '../figure/VoiceFigure';
import type { Known } from '../service/useConfig';
import type { Trouble } from '../session/state/trouble';
import { Tuning } from './personas/Tuning';

interface Props {
  known: Known;
  /** Why the last try came to nothing. */
  trouble: Trouble | null;
  onStart: (request: Omit<EntryRequest, 'identity'>) => void;
}

export function StartScreen({ known, trouble, onStart }: Props) {
  const { config } = known;
  const chosen = useRemembered(choice);
  const picked = config ? pickedOf(chosen, config) : [];
  const readiness = readinessOf(known, picked.length, trouble, {
    undescribed: isUndescribed(chosen, picked),
  });
  const personas = config?.personas ?? [];

  const start = () => {
    if (!config) return;
    const asked = askedFor(chosen, picked, config);
    onStart({
      personas: asked,
      room: null,
      guest: null,
      name: chosen.name.trim() || t.start.guest,
    });
  };

  return (
    <main className="start">
      <section className="pitch">
        <div className="bouquet">
          {picked.slice(0, 3).map((name) => (
            <VoiceFigure key={name} face={faceOf(name, personas)} still />
          ))}
        </div>
        <h1 tabIndex={-1}>{t.start.title}</h1>
        <p className="lead">{t.start.lead}</p>
        {config?.model?.note && <p className="note">{config.model.note}</p>}
        {config && <Disclaimer config={config} />}
      </section>
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
                <Field label={t.start.nameInRoom}>
                  <input
                    value={chosen.name}
                    maxLength={60}
                    dir="auto"
                    placeholder={t.start.guest}
                    autoComplete="nickname"
                    onChange={(event) => choice.set({ name: event.target.value })}
                  />
                </Field>
              </Disclosure>
            </div>
          </>
        )}
      </section>
      <StartButton readiness={readiness} label={t.start.go} onStart={start} />
    </main>
  );
}
