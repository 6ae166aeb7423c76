/** The words of the call as bubbles, one column, the newest at the bottom. */

import { useRemoteParticipants } from '@livekit/components-react';
import { useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { faceOf, PERSON } from '../../figure/figureStyle';
import type { Persona } from '../../service/service';
import { ATTR_PERSONA } from '../../service/wire';
import type { Call } from '../../session/call';
import { isVoice } from '../../session/participants';
import { paced } from '../../store/paced';
import { t } from '../../strings/strings';
import { Bubble } from './Bubble';
import { SaveTranscript } from './SaveTranscript';
import './TranscriptPanel.css';
import { turnsOf } from '../../session/transcript/transcript';
import { ChatInput } from './ChatInput';

const NEAR_PX = 80;
const SHOWN = 150; // bubbles; a button shows earlier ones

interface Props {
  call: Call;
  catalogue: readonly Persona[];
  /** Whether people's words are written. */
  written: boolean;
  /** What the personas speak, where it is one language. */
  language: string | undefined;
  over: boolean;
}

export function TranscriptPanel({ call, catalogue, written, language, over }: Props) {
  const subscribe = useMemo(() => paced(call.transcript.subscribe), [call.transcript]);
  const segments = useSyncExternalStore(subscribe, call.transcript.read);
  const [from, setFrom] = useState<number | null>(null); // the first bubble of who reads earlier words
  const scroll = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const belowPx = useRef<number>(null); // what lay below the view when earlier words were asked for
  const turns = turnsOf(segments);
  const first = Math.min(from ?? Infinity, Math.max(0, turns.length - SHOWN));

  // biome-ignore lint/correctness/useExhaustiveDependencies: new words are the reason to scroll
  useLayoutEffect(() => {
    const box = scroll.current;
    if (box && following.current) box.scrollTop = box.scrollHeight;
  }, [segments]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the words in view stay where they are
  useLayoutEffect(() => {
    const box = scroll.current;
    if (box && belowPx.current !== null) box.scrollTop = box.scrollHeight - belowPx.current;
    belowPx.current = null;
  }, [first]);

  const showEarlier = () => {
    const box = scroll.current;
    if (!box) return;
    following.current = false;
    belowPx.current = box.scrollHeight - box.scrollTop;
    setFrom(Math.max(0, first - SHOWN));
  };

  const look = () => {
    const box = scroll.current;
    if (!box) return;
    following.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
    setFrom(following.current ? null : (now) => now ?? first);
  };

  const others = useRemoteParticipants({ updateOnlyOn: [] });
  const read = others.some(
    (one) => !isVoice(one) || hasMind(one.attributes[ATTR_PERSONA], catalogue),
  );
  const own = call.room.localParticipant.identity;
  return (
    <div className="transcript">
      <div
        ref={scroll}
        className="scroll"
        onScroll={look}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling box must be reached by keys
        tabIndex={0}
        role="log"
        aria-label={t.transcript.title}
        aria-live="off"
      >
        {segments.length === 0 && <p className="empty">{emptyWords(over, written)}</p>}
        {first > 0 && (
          <button type="button" className="link" onClick={showEarlier}>
            {t.transcript.earlier}
          </button>
        )}
        {turns.slice(first).map((turn) => (
          <Bubble
            key={turn.id}
            turn={turn}
            own={turn.identity === own}
            language={turn.persona ? language : undefined}
            face={turn.persona ? faceOf(turn.persona, catalogue) : PERSON}
          />
        ))}
      </div>
      {segments.length > 0 && !over && <SaveTranscript segments={segments} />}
      {!over && read && <ChatInput call={call} />}
    </div>
  );
}

/** Whether a persona reads what is typed. */
function hasMind(name: string | undefined, catalogue: readonly Persona[]): boolean {
  return catalogue.some((persona) => persona.name === name && persona.mind);
}

function emptyWords(over: boolean, written: boolean): string {
  if (over) return t.transcript.nothing;
  return written ? t.transcript.emptyButWritten : t.transcript.empty;
}
