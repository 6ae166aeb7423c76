/** One's own microphone with its level, the way out, and one line on what to expect. */

import { StartAudio, useLocalParticipant, useTrackToggle } from '@livekit/components-react';
import { Track } from 'livekit-client';
import { useEffect, useState } from 'react';
import type { Call } from '../session/call';
import './Controls.css';
import type { Config } from '../service/service';
import type { CallState } from '../session/phase';
import { SoundSettings } from '../start/SoundSettings';
import { Countdown } from '../ui/Countdown';
import { Dialog } from '../ui/Dialog';
import { HangUp, Invite, Knobs, Microphone } from '../ui/icons';
import { PERSON } from './figureStyle';
import { expectationOf } from './hint';
import { Invitation } from './Invitation';
import { VoiceFigure } from './VoiceFigure';

const LONG_MS = 20_000;

const WAYS_OUT: Partial<Record<CallState['phase'], string>> = {
  connecting: 'Cancel',
  full: 'Leave the line',
};

interface Props {
  call: Call;
  state: CallState;
  config: Config | null;
}

export function Controls({ call, state, config }: Props) {
  const { microphoneTrack } = useLocalParticipant();
  const { buttonProps, enabled } = useTrackToggle({ source: Track.Source.Microphone });
  const { 'aria-pressed': _, className: __, ...mute } = buttonProps;
  const [open, setOpen] = useState<'sound' | 'invite' | null>(null);
  const long = useLong(state.phase === 'warming');
  const muted = microphoneTrack !== undefined && !enabled;
  const close = () => setOpen(null);
  return (
    <>
      <p className="expect" role="status">
        {expectationOf(state, long, config?.reason ?? '')}
        {state.retryAtMs !== null && <Countdown untilMs={state.retryAtMs} onNow={call.retryNow} />}
      </p>
      <div className="controls">
        <button
          {...mute}
          type="button"
          className="mute"
          disabled={!microphoneTrack || mute.disabled}
        >
          <span className="own">
            <VoiceFigure face={PERSON} track={state.microphone ?? undefined} />
            <Microphone off={muted} />
          </span>
          {muted ? 'Unmute' : 'Mute'}
        </button>
        <button type="button" className="stop" onClick={() => call.hangUp()}>
          <HangUp />
          {WAYS_OUT[state.phase] ?? 'Hang up'}
        </button>
        <button
          type="button"
          className="round framed"
          aria-label="Sound settings"
          title="Sound settings"
          onClick={() => setOpen('sound')}
        >
          <Knobs />
        </button>
        <button
          type="button"
          className="round framed"
          aria-label="Invite somebody"
          title="Invite somebody"
          onClick={() => setOpen('invite')}
        >
          <Invite />
        </button>
        <StartAudio label="Let me hear it" className="plain" />
      </div>
      {open === 'sound' && (
        <Dialog title="Sound" onClose={close}>
          <SoundSettings inCall />
        </Dialog>
      )}
      {open === 'invite' && (
        <Dialog title="Invite somebody" onClose={close}>
          <Invitation
            session={state.session}
            room={state.room}
            livekit={config?.livekit_url ?? ''}
          />
        </Dialog>
      )}
    </>
  );
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
