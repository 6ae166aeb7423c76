/** The latest words of one speaker, beneath its figure. Screen readers get them from `Announcements`. */

import { useMemo, useSyncExternalStore } from 'react';
import type { Call } from '../../session/call';
import type { Transcript } from '../../session/transcript/transcript';
import { paced } from '../../store/paced';
import { t } from '../../strings/strings';
import { tailOf } from './tail';

interface Props {
  transcript: Transcript;
  identity: string | undefined;
}

export function Caption({ transcript, identity }: Props) {
  const said = useLatest(transcript, identity);
  return (
    <p className="caption" dir="auto" aria-hidden>
      {said}
    </p>
  );
}

/** What this person said last, where people's words are written. */
export function OwnCaption({ call }: { call: Call }) {
  const said = useLatest(call.transcript, call.room.localParticipant.identity);
  return (
    <p className="own-caption" aria-hidden>
      {said && `${t.transcript.you}: ${said}`}
    </p>
  );
}

function useLatest(transcript: Transcript, identity: string | undefined): string | undefined {
  const subscribe = useMemo(() => paced(transcript.subscribe), [transcript]);
  const segments = useSyncExternalStore(subscribe, transcript.read);
  const last = segments.findLast((one) => one.identity === identity && !one.note);
  return last && tailOf(last.text);
}
