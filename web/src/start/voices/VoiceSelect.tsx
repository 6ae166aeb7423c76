/** One voice out of the model's own, in groups. */

import { t } from '../../strings/strings';
import { Field } from '../../ui/Field';
import { ListenButton } from './ListenButton';
import { sampleOf } from './samples';
import { groupsOf, labelOf } from './voices';

interface Props {
  label: string;
  /** The model that has the voices, by its name. */
  model: string | undefined;
  voices: readonly string[];
  /** The voice that it has unless another one is chosen. */
  usual: string | null;
  /** Empty: the usual one. */
  chosen: string;
  onChoose: (voice: string) => void;
}

export function VoiceSelect({ label, model, voices, usual, chosen, onChoose }: Props) {
  const sample = sampleOf(model, chosen || (usual ?? ''));
  const known = usual !== null && voices.includes(usual);
  return (
    <div className="voice-select">
      <Field label={label}>
        <select value={chosen} onChange={(event) => onChoose(event.target.value)}>
          <option value="">{known ? t.tuning.usualIs(labelOf(usual)) : t.tuning.usual}</option>
          {groupsOf(voices).map((group) => (
            <optgroup key={group.label} label={group.label}>
              {group.voices.map((voice) => (
                <option key={voice.name} value={voice.name}>
                  {voice.label}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      </Field>
      {sample && <ListenButton label={label} url={sample} />}
    </div>
  );
}
