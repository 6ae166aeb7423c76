/** The other participants of the room, each as a figure that follows its sound. */

import { useRemoteParticipants, useTracks } from '@livekit/components-react';
import { RoomEvent, Track } from 'livekit-client';
import { useState } from 'react';
import { faceOf, PERSON } from '../../figure/figureStyle';
import type { Persona } from '../../service/service';
import type { Call } from '../../session/call';
import { seatsOf } from '../../session/participants';
import { type CallState, isOver } from '../../session/state/phase';
import { t } from '../../strings/strings';
import { ParticipantTile } from './ParticipantTile';
import { PersonaSheet } from './PersonaSheet';
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
  const [asked, setAsked] = useState<string | null>(null);
  const over = isOver(state.phase);
  const { session } = state;
  const seats = seatsOf(labelled(state.personas, catalogue), over ? [] : participants);
  const open = over ? undefined : seats.find(({ personaId }) => personaId && personaId === asked);
  return (
    <>
      <ul
        tabIndex={-1}
        className="stage"
        data-count={Math.min(seats.length, 5)}
        aria-label={t.call.inRoom}
      >
        {seats.map((seat) => {
          const sound = tracks.find(
            (each) => each.participant.identity === seat.participant?.identity,
          );
          const view = state.personas.find(({ id }) => id && id === seat.personaId);
          return (
            <ParticipantTile
              key={seat.key}
              seat={seat}
              transcript={call.transcript}
              face={seat.persona ? faceOf(seat.persona, catalogue) : PERSON}
              track={over ? undefined : sound?.publication.track?.mediaStreamTrack}
              over={over}
              alone={seats.length === 1}
              muted={view?.muted ?? false}
              onMore={session && seat.personaId ? () => setAsked(seat.personaId) : null}
              onMute={session ? (muted) => call.mute(seat.personaId ?? '', muted) : null}
            />
          );
        })}
      </ul>
      {session && open?.personaId && (
        <PersonaSheet
          session={session}
          seat={{ ...open, personaId: open.personaId }}
          removable={state.personas.length > 1}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}

/** Before the service has answered, the catalogue knows the labels. */
function labelled(personas: CallState['personas'], catalogue: readonly Persona[]) {
  return personas.map((one) => {
    const known = one.id ? undefined : catalogue.find(({ name }) => name === one.name);
    return known ? { ...one, label: known.label } : one;
  });
}
