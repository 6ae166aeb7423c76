/** The latest words of one speaker, beneath its figure. Readers have them from the transcript. */

import { useMemo, useSyncExternalStore } from 'react';
import { paced } from '../session/paced';
import type { Transcript } from '../session/transcript';
import { tailOf } from './tail';

interface Props {
  transcript: Transcript;
  identity: string | undefined;
}

export function Caption({ transcript, identity }: Props) {
  const subscribe = useMemo(() => paced(transcript.subscribe), [transcript]);
  const segments = useSyncExternalStore(subscribe, transcript.read);
  const last = segments.findLast((one) => one.identity === identity && !one.note);
  return (
    <p className="caption" aria-hidden>
      {last && tailOf(last.text)}
    </p>
  );
}
