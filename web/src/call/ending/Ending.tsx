/** After a call: what can be kept of it, how it went, and the ways on. */

import { useSyncExternalStore } from 'react';
import { SaveTranscript } from '../../panels/transcript/SaveTranscript';
import type { Known } from '../../service/useConfig';
import type { Call } from '../../session/call';
import { LONGEST_MINUTES } from '../../session/sound/keptSound';
import type { CallState } from '../../session/state/phase';
import { t } from '../../strings/strings';
import { Notice } from '../../ui/Notice';
import './Ending.css';
import { Rating } from './Rating';

/** The props of a call's screen, during the call and after it. */
export interface CallProps {
  call: Call;
  state: CallState;
  known: Known;
  onAgain: () => void;
  onBack: () => void;
}

export function Ending({ call, state, known, onAgain, onBack }: CallProps) {
  const sound = useSyncExternalStore(call.keptSound.subscribe, call.keptSound.read);
  const segments = call.transcript.read();
  return (
    <>
      {state.trouble ? (
        <Notice trouble={state.trouble} />
      ) : (
        <p className="expect">{t.ending.hungUp}</p>
      )}
      <div className="after">
        <button type="button" className="go" onClick={onAgain} aria-disabled={!known.reachable}>
          {t.ending.again}
        </button>
        <button type="button" className="plain" onClick={onBack}>
          {t.ending.back}
        </button>
      </div>
      {(sound || segments.length > 0) && (
        <section className="keep" aria-label={t.ending.keep}>
          <h2>{t.ending.keep}</h2>
          <SaveTranscript segments={segments} sound={sound} />
          {sound && <p className="soft">{t.ending.inThisTab(LONGEST_MINUTES)}</p>}
        </section>
      )}
      {known.config?.ratings && state.rated && <Rating rated={state.rated} />}
    </>
  );
}
