/** One's own microphone with its level, the way out, and what else one can do. */

import { StartAudio, useLocalParticipant, useTrackToggle } from '@livekit/components-react';
import { Track } from 'livekit-client';
import { type RefObject, useCallback, useState } from 'react';
import type { Call } from '../../session/call';
import { t } from '../../strings/strings';
import { AddButton } from '../invite/AddButton';
import './Controls.css';
import type { Config } from '../../service/service';
import type { CallState } from '../../session/state/phase';
import { MicrophoneFailed } from '../../session/state/trouble';
import { SoundSettings } from '../../start/sound/SoundSettings';
import { preferences, useDetails } from '../../store/preferences';
import { useRemembered } from '../../store/stored';
import { Dialog } from '../../ui/Dialog';
import { useKeyboard } from '../../ui/hooks/useKeyboard';
import { IconButton } from '../../ui/IconButton';
import { HangUp, Words } from '../../ui/theme/icons';
import { Expectation } from './Expectation';
import { MicrophoneButton } from './MicrophoneButton';
import { useShortcut } from './useShortcut';

interface Props {
  call: Call;
  state: CallState;
  config: Config | null;
  /** What stands beside the stage, or does not. */
  drawer: {
    open: boolean;
    set: (open: boolean) => void;
    toggle: RefObject<HTMLButtonElement | null>;
  };
}

export function Controls({ call, state, config, drawer }: Props) {
  const { microphoneTrack } = useLocalParticipant();
  const { toggle, enabled, pending } = useTrackToggle({ source: Track.Source.Microphone });
  const { shortcuts } = useRemembered(preferences);
  const [open, setOpen] = useState(false);
  const muted = microphoneTrack !== undefined && !enabled;
  const mayMute = microphoneTrack !== undefined && !pending;
  const mute = useCallback(
    () => void toggle().catch((reason) => call.tellSoundTrouble(new MicrophoneFailed(reason))),
    [toggle, call],
  );
  useShortcut(shortcuts && mayMute, mute);
  const keyboard = useKeyboard();
  const closeSettings = () => {
    setOpen(false);
    call.closeSoundTrouble();
  };
  const wayOut = wayOutOf(state);
  const beside = useDetails() ? t.panels.beside : t.transcript.title;
  return (
    <>
      <Expectation call={call} state={state} config={config} muted={muted} />
      <div className="controls">
        <MicrophoneButton
          track={state.microphone}
          muted={muted}
          disabled={!mayMute}
          keys={shortcuts && keyboard}
          onToggle={mute}
          onSettings={() => setOpen(true)}
        />
        <IconButton label={wayOut} className="stop" onClick={() => call.hangUp()}>
          <HangUp />
          <span className="word">{wayOut}</span>
        </IconButton>
        <IconButton
          label={beside}
          ref={drawer.toggle}
          className="round framed"
          aria-expanded={drawer.open}
          aria-controls={drawer.open ? 'drawer' : undefined}
          onClick={() => drawer.set(!drawer.open)}
        >
          <Words />
        </IconButton>
        {config && <AddButton state={state} config={config} />}
        <StartAudio label={t.call.hearIt} className="go" />
      </div>
      {open && (
        <Dialog title={t.sound.title} onClose={closeSettings}>
          <SoundSettings inCall trouble={state.soundTrouble} />
        </Dialog>
      )}
    </>
  );
}

function wayOutOf({ phase }: CallState): string {
  if (phase === 'connecting') return t.call.cancel;
  return phase === 'full' ? t.call.leaveLine : t.call.hangUp;
}
