/** Everybody in the room but oneself, each with the sound of their voice. */

import { useRemoteParticipants, useTracks } from '@livekit/components-react';
import { RoomEvent, Track } from 'livekit-client';
import type { Persona } from '../service/service';
import type { Call } from '../session/call';
import { type CallState, isOver } from '../session/phase';
import { t } from '../strings/strings';
import { faceOf, PERSON } from './figureStyle';
import { SeatTile } from './ParticipantTile';
import { seatsOf } from './participants';
import './Stage.css';

const UPDATES = [RoomEvent.ParticipantAttributesChanged, RoomEvent.ParticipantNameChanged];

interface Props {
  call: Call;
  state: CallState;
  catalogue: readonly Persona[];
}

export function Stage({ call, state, catalogue }: Props) {
  const participants = useRemoteParticipants({ updateOnlyOn: UPDATES });
  const tracks = useTracks([Track.Source.Microphone, Track.Source.Unknown]);
  const over = isOver(state.phase);
  const seats = seatsOf(labelled(state.personas, catalogue), over ? [] : participants);
  return (
    <ul className="stage" data-count={Math.min(seats.length, 5)} aria-label={t.call.inRoom}>
      {seats.map((seat) => {
        const sound = tracks.find(
          (each) => each.participant.identity === seat.participant?.identity,
        );
        const view = state.personas.find(({ id }) => id && id === seat.personaId);
        return (
          <SeatTile
            key={seat.key}
            seat={seat}
            transcript={call.transcript}
            face={seat.persona ? faceOf(seat.persona, catalogue) : PERSON}
            track={over ? undefined : sound?.publication.track?.mediaStreamTrack}
            over={over}
            alone={seats.length === 1}
            muted={view?.muted ?? false}
            onMute={state.session ? (muted) => call.hush(seat.personaId ?? '', muted) : null}
          />
        );
      })}
    </ul>
  );
}

/** Before the service has answered, the catalogue knows the labels. */
function labelled(personas: CallState['personas'], catalogue: readonly Persona[]) {
  return personas.map((one) => {
    const known = one.id ? undefined : catalogue.find(({ name }) => name === one.name);
    return known ? { ...one, label: known.label } : one;
  });
}
