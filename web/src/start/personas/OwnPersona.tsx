/** The person's own persona: its name and its prompt, with a counter to the limit. */

import { t } from '../../strings/strings';
import { Field } from '../../ui/Field';
import { type Choice, choice } from '../choice/choice';
import './OwnPersona.css';
import type { Config } from '../../service/service';

export function OwnPersona({ chosen, config }: { chosen: Choice; config: Config }) {
  const limit = config.limits.prompt_characters;
  const startFrom = (name: string) => {
    const persona = config.personas.find((each) => each.name === name);
    if (persona) choice.set({ ownLabel: persona.label, ownPrompt: persona.prompt });
  };
  return (
    <div className="own-persona">
      <Field label={t.start.startFrom}>
        <select value="" onChange={(event) => startFrom(event.target.value)}>
          <option value="">{t.start.nothingYet}</option>
          {config.personas.map(({ name, label }) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      </Field>
      <Field label={t.start.ownName}>
        <input
          value={chosen.ownLabel}
          maxLength={120}
          dir="auto"
          placeholder={t.start.ownNameExample}
          onChange={(event) => choice.set({ ownLabel: event.target.value })}
        />
      </Field>
      <Field label={t.start.ownPrompt} value={`${chosen.ownPrompt.length} / ${limit}`}>
        <textarea
          value={chosen.ownPrompt}
          maxLength={limit}
          dir="auto"
          rows={4}
          placeholder={t.start.ownPromptExample}
          onChange={(event) => choice.set({ ownPrompt: event.target.value })}
        />
      </Field>
    </div>
  );
}
