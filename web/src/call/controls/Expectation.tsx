/** One line on what to expect now: a screen reader hears each change. */

import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { type Config, languageOf } from '../../service/service';
import type { Call } from '../../session/call';
import type { CallState } from '../../session/state/phase';
import { paced } from '../../store/paced';
import { t } from '../../strings/strings';
import { Countdown } from '../../ui/Countdown';
import { expectationOf, mutedWords, questionOf } from './hint';
import { useTalkInVain } from './useTalkInVain';
import { useUnheard } from './useUnheard';

const LONG_MS = 20_000;
const BEGINNING = 3; // sentences, after which a person knows how it goes

interface Props {
  call: Call;
  state: CallState;
  config: Config | null;
  muted: boolean;
}

export function Expectation({ call, state, config, muted }: Props) {
  const live = state.phase === 'live';
  const long = useLong(state.phase === 'warming');
  const inVain = useTalkInVain(state.microphone, muted);
  const unheard = useUnheard(state.microphone, live && !muted);
  const question = questionOf(state.personas, config?.personas ?? []);
  const begins = useBeginning(call);
  if (live && muted) return <p {...LINE}>{mutedWords(inVain)}</p>;
  if (live && unheard) return <p {...LINE}>{t.call.unheard}</p>;
  if (live && begins && question)
    return (
      <p {...LINE}>
        {t.start.couldAsk} <q lang={languageOf(config)}>{question}</q>
      </p>
    );
  return (
    <p {...LINE}>
      {expectationOf(state, long, config?.reason ?? '')}
      {state.retryAtMs !== null && <Countdown untilMs={state.retryAtMs} onNow={call.retryNow} />}
    </p>
  );
}

const LINE = { className: 'expect', role: 'status' };

/** Whether few sentences were said so far. */
function useBeginning({ transcript }: Call): boolean {
  const subscribe = useMemo(() => paced(transcript.subscribe), [transcript]);
  return useSyncExternalStore(subscribe, transcript.readLatest).length < BEGINNING;
}

/** Whether something has been so for long. */
function useLong(holds: boolean): boolean {
  const [long, setLong] = useState(false);
  useEffect(() => {
    setLong(false);
    if (!holds) return;
    const timer = setTimeout(() => setLong(true), LONG_MS);
    return () => clearTimeout(timer);
  }, [holds]);
  return long;
}
