/** One participant on the stage: figure, name, state, and volume. */

import { useEffect, useState } from 'react';
import type { Face } from '../../figure/figureStyle';
import { hasFloor, isVoice, type Seat, voiceState } from '../../session/participants';
import type { Transcript } from '../../session/transcript/transcript';
import { journal } from '../../store/eventLog';
import { t } from '../../strings/strings';
import { IconButton } from '../../ui/IconButton';
import { Loudspeaker, Microphone, More } from '../../ui/theme/icons';
import { Caption } from './Caption';
import './ParticipantTile.css';
import { VoiceFigure } from '../../figure/VoiceFigure';
import { troubleOf } from '../../session/state/trouble';
import { useOnce } from '../../ui/hooks/useOnce';
import { Slider } from '../../ui/Slider';
import { maySetVolume, play } from './volume';

const TOLD_MS = 6_000;

interface Props {
  seat: Seat;
  transcript: Transcript;
  face: Face;
  track: MediaStreamTrack | undefined;
  over: boolean;
  /** Whether it is the only participant on the stage. */
  alone: boolean;
  muted: boolean;
  /** Mute or unmute it for all people; `null` if the person can mute it for itself alone. */
  onMute: ((muted: boolean) => Promise<void>) | null;
  /** Open the persona's sheet; `null` where the person may not change the session. */
  onMore: (() => void) | null;
}

export function ParticipantTile({
  seat,
  transcript,
  face,
  track,
  over,
  alone,
  muted,
  onMute,
  onMore,
}: Props) {
  const { participant, label } = seat;
  const [volume, setVolume] = useState(1);
  const [refused, setRefused] = useState(false); // the latest try to mute it for all
  const [busy, once] = useOnce();
  useEffect(() => {
    if (!refused) return;
    const timer = setTimeout(() => setRefused(false), TOLD_MS);
    return () => clearTimeout(timer);
  }, [refused]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a track that comes anew is played alike
  useEffect(() => {
    if (participant) play(participant, volume);
  }, [participant, track, volume]);
  const person = participant !== null && !isVoice(participant);
  const state = person ? 'person' : voiceState(participant);
  const forAll = onMute !== null && !person;
  const silent = forAll ? muted : volume === 0;
  const muteLabel = muteLabelOf(forAll, silent)(label);
  const doing = over
    ? t.seat.gone
    : silent
      ? t.seat.muted
      : person
        ? t.seat.person
        : t.seat[voiceState(participant)];

  const mute = () => {
    if (!forAll) return setVolume(volume === 0 ? 1 : 0);
    setRefused(false);
    once(() =>
      onMute(!muted).catch((error) => {
        setRefused(true);
        journal.add('error', 'page', t.panels.happenings.notMuted(label), { ...troubleOf(error) });
      }),
    );
  };

  return (
    <li
      className="seat"
      data-state={over ? 'over' : state}
      data-silent={silent}
      data-floor={!alone && hasFloor(participant)}
      data-identity={participant?.identity}
    >
      <div className="portrait">
        <VoiceFigure face={face} track={track} />
      </div>
      <span className="label" title={label} dir="auto">
        {label}
      </span>
      <span className="doing" role={refused ? 'alert' : undefined}>
        {refused ? t.panels.happenings.notMuted(label) : doing}
      </span>
      <Caption transcript={transcript} identity={participant?.identity} />
      <div className="loudness" data-shown={participant !== null && !over}>
        <IconButton label={muteLabel} aria-disabled={busy} onClick={mute}>
          {forAll ? <Microphone off={silent} /> : <Loudspeaker off={silent} />}
        </IconButton>
        {maySetVolume && (
          <Slider
            label={t.seat.volume(label)}
            least={0}
            most={1}
            step={0.05}
            value={volume}
            onSlide={setVolume}
          />
        )}
        {onMore && (
          <IconButton label={t.persona.more(label)} aria-haspopup="dialog" onClick={onMore}>
            <More />
          </IconButton>
        )}
      </div>
    </li>
  );
}

function muteLabelOf(forAll: boolean, silent: boolean): (label: string) => string {
  if (forAll) return silent ? t.seat.unmuteForAll : t.seat.muteForAll;
  return silent ? t.seat.unmuteForMe : t.seat.muteForMe;
}
