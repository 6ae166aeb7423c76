/** “Can I be heard?”, answered before anybody is called. */

import { useEffect, useRef, useState } from 'react';
import './EchoTest.css';
import { type Echo, listen, play } from './echo';
import { PERSON } from './face';
import { Notice } from './Notice';
import type { SoundWish } from './sound';
import { InsecurePage, type Trouble, troubleOf } from './trouble';
import { VoiceFigure } from './VoiceFigure';

type Step = 'rest' | 'listening' | 'playing' | 'done';

const WORDS: Record<Step, string> = {
  rest: 'Say something, and hear it back. It stays on this machine.',
  listening: 'Say something now…',
  playing: 'This is how you are heard.',
  done: 'Did you hear yourself? Then you are ready.',
};

export function EchoTest({ wish }: { wish: SoundWish }) {
  const [step, setStep] = useState<Step>('rest');
  const [track, setTrack] = useState<MediaStreamTrack>();
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const echo = useRef<Echo | null>(null);
  useEffect(() => () => echo.current?.stop(), []);

  const tryIt = async () => {
    setTrouble(null);
    try {
      if (!window.isSecureContext || !navigator.mediaDevices) throw new InsecurePage();
      echo.current = await listen(wish);
      setTrack(echo.current.track);
      setStep('listening');
      const sound = await echo.current.heard;
      echo.current.stop();
      setTrack(undefined);
      setStep('playing');
      await play(sound, wish.speaker);
      setStep('done');
    } catch (error) {
      setStep('rest');
      setTrouble(troubleOf(error));
    }
  };

  const busy = step === 'listening' || step === 'playing';
  return (
    <div className="echo-test" data-step={step}>
      <span className="echo-figure">
        <VoiceFigure face={PERSON} track={track} />
      </span>
      <button type="button" className="small" disabled={busy} onClick={tryIt}>
        {step === 'done' ? 'Try once more' : 'Test the sound'}
      </button>
      <p className="soft" role="status">
        {WORDS[step]}
      </p>
      {trouble && <Notice trouble={trouble} />}
    </div>
  );
}
