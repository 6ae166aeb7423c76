/** A line to type to the room. */

import { type SubmitEvent, useState } from 'react';
import type { Call } from '../../session/call';
import { journal } from '../../store/eventLog';
import { t } from '../../strings/strings';
import { IconButton } from '../../ui/IconButton';
import { Send } from '../../ui/theme/icons';
import './ChatInput.css';

export function ChatInput({ call }: { call: Call }) {
  const [text, setText] = useState('');
  const send = (event: SubmitEvent) => {
    event.preventDefault();
    const line = text.trim();
    if (!line) return;
    setText('');
    call.transcript.type(call.room, line).catch((error) => {
      setText(line);
      journal.add('warning', 'page', t.panels.happenings.notSent, { reason: String(error) });
    });
  };
  return (
    <form className="type-line" onSubmit={send}>
      <input
        value={text}
        maxLength={1000}
        dir="auto"
        placeholder={t.transcript.type}
        aria-label={t.transcript.type}
        enterKeyHint="send"
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
      />
      <IconButton type="submit" label={t.transcript.send} aria-disabled={!text.trim()}>
        <Send />
      </IconButton>
    </form>
  );
}
