/** What a person can ask of one persona during a call: say a line, start fresh, leave the room. */

import { type SubmitEvent, useEffect, useState } from 'react';
import { fetchPersonas } from '../../service/service';
import { forget, removePersona, sayLine } from '../../service/sessions';
import type { Seat } from '../../session/participants';
import { troubleOf } from '../../session/state/trouble';
import { t } from '../../strings/strings';
import { Dialog } from '../../ui/Dialog';
import { Field } from '../../ui/Field';
import { useOnce } from '../../ui/hooks/useOnce';
import './PersonaSheet.css';

const LONGEST_LINE = 500; // characters, as in `protocol/commands.py`

interface Props {
  session: string;
  seat: Seat & { personaId: string };
  /** The last persona of a room stays in it. */
  removable: boolean;
  onClose: () => void;
}

export function PersonaSheet({ session, seat, removable, onClose }: Props) {
  const { personaId, persona, label } = seat;
  const lines = useLines(persona);
  const [answer, setAnswer] = useState('');
  const [busy, once] = useOnce();
  /** Say how it went; return whether it was done. */
  const tell = async (done: string, asked: Promise<unknown>) => {
    const trouble = await asked.then(() => null, troubleOf);
    setAnswer(trouble?.why ?? done);
    return trouble === null;
  };
  return (
    <Dialog title={label} onClose={onClose}>
      <div className="persona-sheet">
        <SayForm
          lines={lines}
          onSay={(line) => tell(t.persona.willSay, sayLine(session, personaId, line))}
        />
        <p className="soft">{t.persona.freshIs}</p>
        <div className="actions">
          <button
            type="button"
            className="small"
            aria-disabled={busy}
            onClick={() => once(() => tell(t.persona.willForget, forget(session, personaId)))}
          >
            {t.persona.fresh}
          </button>
          {removable && (
            <button
              type="button"
              className="small"
              aria-disabled={busy}
              onClick={() => once(() => tell('', removePersona(session, personaId)))}
            >
              {t.persona.remove}
            </button>
          )}
        </div>
        <p className="answer" role="status">
          {answer}
        </p>
      </div>
    </Dialog>
  );
}

interface SayProps {
  /** The only lines to choose from; `null`: any line. */
  lines: readonly string[] | null;
  /** Gives whether the line was taken. */
  onSay: (line: string) => Promise<boolean>;
}

function SayForm({ lines, onSay }: SayProps) {
  const [text, setText] = useState('');
  const [busy, once] = useOnce();
  const line = text.trim() || (lines?.[0] ?? '');
  const say = async () => {
    const taken = await onSay(line);
    if (taken && !lines) setText((now) => (now === text ? '' : now));
  };
  const send = (event: SubmitEvent) => {
    event.preventDefault();
    once(say);
  };
  return (
    <form className="say" onSubmit={send}>
      <Field label={t.persona.line}>
        {lines ? (
          <select value={line} title={line} onChange={(event) => setText(event.target.value)}>
            {[...new Set(lines)].map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        ) : (
          <input
            value={text}
            maxLength={LONGEST_LINE}
            dir="auto"
            autoComplete="off"
            onChange={(event) => setText(event.target.value)}
          />
        )}
      </Field>
      <button type="submit" className="small" aria-disabled={busy || !line}>
        {t.persona.say}
      </button>
    </form>
  );
}

/** Ask which lines a persona of the catalogue can say; until the answer, any line. */
function useLines(name: string): readonly string[] | null {
  const [lines, setLines] = useState<readonly string[] | null>(null);
  useEffect(() => {
    fetchPersonas().then(
      (personas) => setLines(personas.find((each) => each.name === name)?.lines ?? null),
      () => undefined, // the service refuses a line that cannot be said, and tells why
    );
  }, [name]);
  return lines;
}
