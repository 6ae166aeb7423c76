/** “Can I be heard?”, answered before anybody is called. */

import { useEffect, useRef, useState } from 'react';
import './EchoTest.css';
import { PERSON } from '../call/figureStyle';
import { VoiceFigure } from '../call/VoiceFigure';
import type { SoundWish } from '../session/sound';
import { InsecurePage, type Trouble, troubleOf } from '../session/trouble';
import { Notice } from '../ui/Notice';
import { listen, play } from './echo';

type Step = 'rest' | 'starting' | 'listening' | 'playing' | 'done';

const WORDS: Record<Step, string> = {
  rest: 'Say something, and hear it back. It stays on this machine.',
  starting: 'Your browser may ask for the microphone.',
  listening: 'Say something now…',
  playing: 'This is how you are heard.',
  done: 'Did you hear yourself? Then you are ready.',
};

export function EchoTest({ wish }: { wish: SoundWish }) {
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
      if (!window.isSecureContext || !navigator.mediaDevices) throw new InsecurePage();
      const { track, heard } = await listen(wish, signal);
      setTrack(track);
      setStep('listening');
      const sound = await heard;
      setTrack(undefined);
      setStep('playing');
      await play(sound, wish.speaker, signal);
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
