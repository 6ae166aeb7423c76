/** The advanced part of a choice: voices, and how tokens are drawn. */

import type { Config, Sampling } from '../../service/service';
import { decimal, t } from '../../strings/strings';
import { Disclosure } from '../../ui/Disclosure';
import { Field } from '../../ui/Field';
import { Slider } from '../../ui/Slider';
import { type Choice, choice, OWN, usualSampling } from '../choice/choice';
import './Tuning.css';
import { VoiceSelect } from '../voices/VoiceSelect';

interface Knob {
  key: keyof Sampling;
  most: number;
  step: number;
  least: number;
}

const KNOBS: Knob[] = [
  { key: 'text_temperature', least: 0, most: 1.5, step: 0.05 },
  { key: 'audio_temperature', least: 0, most: 1.5, step: 0.05 },
  { key: 'text_top_k', least: 1, most: 128, step: 1 },
  { key: 'audio_top_k', least: 1, most: 256, step: 1 },
];

interface Props {
  chosen: Choice;
  picked: readonly string[];
  config: Config;
}

export function Tuning({ chosen, picked, config }: Props) {
  const sampling = { ...usualSampling(config), ...chosen.sampling };
  const labels: Record<keyof Sampling, string> = {
    text_temperature: t.tuning.textTemperature,
    audio_temperature: t.tuning.audioTemperature,
    text_top_k: t.tuning.textTopK,
    audio_top_k: t.tuning.audioTopK,
  };
  const tune = (key: keyof Sampling, value: number) =>
    choice.set({ sampling: { ...chosen.sampling, [key]: value } });
  return (
    <Disclosure title={t.tuning.title} hint={t.tuning.hint}>
      {config.voices.length === 0 && <p className="soft">{t.tuning.oneVoice}</p>}
      {config.voices.length > 0 && (
        <div className="fields">
          {picked.map((name) => {
            const persona = config.personas.find((each) => each.name === name);
            return (
              <VoiceSelect
                key={name}
                label={t.tuning.voiceOf(
                  name === OWN ? chosen.ownLabel || t.start.own : (persona?.label ?? name),
                )}
                model={config.model?.name}
                voices={config.voices}
                usual={persona?.voice ?? null}
                chosen={chosen.voices[name] ?? ''}
                onChoose={(voice) => choice.set({ voices: { ...chosen.voices, [name]: voice } })}
              />
            );
          })}
        </div>
      )}
      <div className="fields">
        {KNOBS.map(({ key, least, most, step }) => (
          <Field key={key} label={labels[key]} value={decimal(sampling[key], step < 1 ? 2 : 0)}>
            <Slider
              least={least}
              most={most}
              step={step}
              value={sampling[key]}
              onSlide={(value) => tune(key, value)}
            />
          </Field>
        ))}
      </div>
      <button
        type="button"
        className="small"
        onClick={() => choice.set({ sampling: {}, voices: {} })}
      >
        {t.tuning.reset}
      </button>
    </Disclosure>
  );
}
