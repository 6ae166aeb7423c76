/** One's own microphone: its level, whether it is muted, and the way to the devices. */

import { PERSON } from '../../figure/figureStyle';
import { t } from '../../strings/strings';
import { IconButton } from '../../ui/IconButton';
import { Chevron, Microphone } from '../../ui/theme/icons';
import './MicrophoneButton.css';
import { VoiceFigure } from '../../figure/VoiceFigure';

interface Props {
  track: MediaStreamTrack | null;
  muted: boolean;
  disabled: boolean;
  /** Whether keys mute, too, and the person has some. */
  keys: boolean;
  onToggle: () => void;
  onSettings: () => void;
}

export function MicrophoneButton({ track, muted, disabled, keys, onToggle, onSettings }: Props) {
  const word = muted ? t.call.unmute : t.call.mute;
  return (
    <div className="own-microphone" data-muted={muted}>
      <button
        type="button"
        className="mute"
        aria-keyshortcuts={keys ? 'M Space' : undefined}
        title={keys ? `${word} ${t.call.keys}` : undefined}
        aria-disabled={disabled}
        onClick={onToggle}
      >
        <span className="own">
          <VoiceFigure face={PERSON} track={track ?? undefined} />
          <Microphone off={muted} />
        </span>
        {word}
      </button>
      <IconButton
        label={t.sound.title}
        className="devices"
        aria-haspopup="dialog"
        onClick={onSettings}
      >
        <Chevron />
      </IconButton>
    </div>
  );
}
