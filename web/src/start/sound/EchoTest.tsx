/** The microphone's test before a call: record a few words and play them. */

import { useEffect, useRef, useState } from 'react';
import { t } from '../../strings/strings';
import './EchoTest.css';
import { PERSON } from '../../figure/figureStyle';
import { VoiceFigure } from '../../figure/VoiceFigure';
import { checkMicrophone } from '../../session/ability';
import type { SoundChoice } from '../../session/sound/sound';
import { type Trouble, troubleOf } from '../../session/state/trouble';
import { Notice } from '../../ui/Notice';
import { listen, play } from './echo';

type Step = 'rest' | 'starting' | 'listening' | 'playing' | 'done';

interface Props {
  choice: SoundChoice;
  /** The browser lets this page listen. */
  onAllowed: () => void;
}

export function EchoTest({ choice, onAllowed }: Props) {
  const [step, setStep] = useState<Step>('rest');
  const [track, setTrack] = useState<MediaStreamTrack>();
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const leave = useRef<AbortController>(null);
  useEffect(() => () => leave.current?.abort(), []); // a call that begins hears nothing of it

  const tryIt = async () => {
    leave.current = new AbortController();
    const { signal } = leave.current;
    setTrouble(null);
    setStep('starting');
    try {
      checkMicrophone();
      const { track, heard } = await listen(choice, signal);
      onAllowed();
      setTrack(track);
      setStep('listening');
      const sound = await heard;
      setTrack(undefined);
      setStep('playing');
      await play(sound, choice.speaker, signal);
      setStep('done');
    } catch (error) {
      if (signal.aborted) return;
      setTrack(undefined);
      setStep('rest');
      setTrouble(troubleOf(error));
    }
  };

  const busy = step !== 'rest' && step !== 'done';
  return (
    <div className="echo-test" data-step={step}>
      <span className="echo-figure">
        <VoiceFigure face={PERSON} track={track} />
      </span>
      <button type="button" className="small" aria-disabled={busy} onClick={tryIt}>
        {step === 'done' ? t.sound.testAgain : t.sound.test}
      </button>
      <p className="soft" role="status">
        {t.sound.steps[step]}
      </p>
      {trouble && <Notice trouble={trouble} />}
    </div>
  );
}
