/** A persona of one's own: its name and its prompt, with a counter to the limit. */

import { Field } from '../ui/Field';
import { type Choice, choice } from './choice';
import './OwnPersona.css';
import type { Config } from '../service/service';

export function OwnPersona({ wish, config }: { wish: Choice; config: Config }) {
  const limit = config.limits.prompt_characters;
  return (
    <div className="own-persona">
      <Field label="Its name">
        <input
          value={wish.ownLabel}
          maxLength={120}
          placeholder="Ada, a librarian"
          onChange={(event) => choice.set({ ownLabel: event.target.value })}
        />
      </Field>
      <Field label="Who it is" value={`${wish.ownPrompt.length} / ${limit}`}>
        <textarea
          value={wish.ownPrompt}
          maxLength={limit}
          rows={4}
          placeholder="You are a librarian who knows a book for every mood. You ask before you advise."
          onChange={(event) => choice.set({ ownPrompt: event.target.value })}
        />
      </Field>
      {config.model?.prompts === false && (
        <p className="soft">The model that runs follows no prompts. It still gets this name.</p>
      )}
    </div>
  );
}
