/** What is said, for a screen reader: each sentence once, when it is over, also while the drawer is closed. */

import { useMemo, useSyncExternalStore } from 'react';
import type { Call } from '../../session/call';
import { paced } from '../../store/paced';
import { t } from '../../strings/strings';

interface Props {
  call: Call;
  /** What the personas speak, where it is one language. */
  language: string | undefined;
}

export function Announcements({ call, language }: Props) {
  const subscribe = useMemo(() => paced(call.transcript.subscribe), [call.transcript]);
  const latest = useSyncExternalStore(subscribe, call.transcript.readLatest);
  const own = call.room.localParticipant.identity;
  return (
    <div className="unseen" aria-live="polite">
      {latest.map(({ id, identity, label, persona, text }) => (
        <p key={id}>
          {identity === own ? t.transcript.you : label}:{' '}
          <span lang={persona ? language : undefined}>{text.trim()}</span>
        </p>
      ))}
    </div>
  );
}
