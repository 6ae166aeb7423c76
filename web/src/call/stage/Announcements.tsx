/** What is said, for a screen reader: each sentence once, when it is over, also while the drawer is closed. */

import { useMemo, useSyncExternalStore } from 'react';
import type { Call } from '../../session/call';
import { paced } from '../../store/paced';
import { t } from '../../strings/strings';

export function Announcements({ call }: { call: Call }) {
  const subscribe = useMemo(() => paced(call.transcript.subscribe), [call.transcript]);
  const latest = useSyncExternalStore(subscribe, call.transcript.readLatest);
  const own = call.room.localParticipant.identity;
  return (
    <div className="unseen" aria-live="polite">
      {latest.map(({ id, identity, label, text }) => (
        <p key={id}>
          {identity === own ? t.transcript.you : label}: {text.trim()}
        </p>
      ))}
    </div>
  );
}
