/** The participants on the stage: the expected personas in their order, then all others. */

import {
  ConnectionState,
  type Participant,
  ParticipantKind,
  type RemoteParticipant,
  type Room,
} from 'livekit-client';
import type { PersonaView } from '../service/sessions';
import {
  ATTR_AGENT_STATE,
  ATTR_FLOOR,
  ATTR_GENERATION,
  ATTR_ON_BEHALF,
  ATTR_PERSONA,
  ATTR_PERSONA_ID,
} from '../service/wire';
import type { SessionEvent } from './events/eventText';

export type VoiceState = 'awaited' | 'warming' | 'listening' | 'speaking';

/** A place on the stage; `participant` is missing while the persona is still awaited. */
export interface Seat {
  key: string;
  label: string;
  persona: string;
  /** The persona's id in the room spec; `null` for people. */
  personaId: string | null;
  participant: RemoteParticipant | null;
}

/** Whether a participant is a persona and no person. */
export function isVoice(participant: Participant): boolean {
  return participant.kind === ParticipantKind.AGENT;
}

/** Whether the room has no other person. False without a connection, which lists no participants. */
export function isLast({
  state,
  remoteParticipants,
}: Pick<Room, 'state' | 'remoteParticipants'>): boolean {
  return state === ConnectionState.Connected && [...remoteParticipants.values()].every(isVoice);
}

/** The personas after an event of the session: others may mute or remove one. */
export function personasAfter(
  { type, change, persona_id }: SessionEvent,
  personas: readonly PersonaView[],
): readonly PersonaView[] {
  if (type !== 'changed' || !personas.some(({ id }) => id === persona_id)) return personas;
  if (change === 'removed') return personas.filter(({ id }) => id !== persona_id);
  const muted = change === 'muted';
  if (!muted && change !== 'unmuted') return personas;
  return personas.map((one) => (one.id === persona_id ? { ...one, muted } : one));
}

/** Whether an event tells of a persona that is not known yet: it carries an id and no label. */
export function tellsOfNewcomer(
  { type, change, persona_id }: SessionEvent,
  personas: readonly PersonaView[],
): boolean {
  return type === 'changed' && change === 'added' && !personas.some(({ id }) => id === persona_id);
}

/** What a persona does now, by LiveKit's own attribute. */
export function voiceState(participant: Participant | null): VoiceState {
  switch (participant?.attributes[ATTR_AGENT_STATE]) {
    case 'speaking':
      return 'speaking';
    case 'listening':
    case 'thinking':
    case 'idle':
      return 'listening';
    default:
      return participant ? 'warming' : 'awaited';
  }
}

/** Whether a participant has the floor, in a room of several personas. */
export function hasFloor(participant: Participant | null): boolean {
  return participant?.attributes[ATTR_FLOOR] === 'true';
}

/** Return a seat for each expected persona, and one for each further participant. */
export function seatsOf(
  expected: readonly PersonaView[],
  participants: readonly RemoteParticipant[],
): Seat[] {
  const shown = participants.filter((each) => !each.attributes[ATTR_ON_BEHALF]);
  const rest = new Set(shown.filter((each) => !isReplaced(each, shown)));
  const seats = expected.map(({ id, name, label }, place): Seat => {
    const taker = [...rest].find((each) => isVoice(each) && isPersona(each, id, name));
    if (taker) rest.delete(taker);
    const twins = expected.slice(0, place).filter((one) => one.name === name).length;
    const key = `${name} ${twins}`; // stays when others go, and when its id becomes known
    return { key, label, persona: name, personaId: id, participant: taker ?? null };
  });
  for (const participant of rest) seats.push(seatOf(participant));
  return seats;
}

/** Whether another worker has taken this persona over: its participant leaves in a moment. */
function isReplaced(one: RemoteParticipant, others: readonly RemoteParticipant[]): boolean {
  const id = one.attributes[ATTR_PERSONA_ID];
  if (!id) return false;
  return others.some(
    (other) =>
      isVoice(other) &&
      other.attributes[ATTR_PERSONA_ID] === id &&
      generationOf(other) > generationOf(one),
  );
}

function generationOf({ attributes }: RemoteParticipant): number {
  return Number(attributes[ATTR_GENERATION] ?? 0);
}

/** Whether a participant is a persona: by its id, or by its name while the id is not known. */
function isPersona({ attributes }: RemoteParticipant, id: string, name: string): boolean {
  return id ? attributes[ATTR_PERSONA_ID] === id : attributes[ATTR_PERSONA] === name;
}

function seatOf(participant: RemoteParticipant): Seat {
  const { identity, name, attributes } = participant;
  const voice = isVoice(participant);
  return {
    key: identity,
    label: name?.trim() || identity,
    persona: voice ? (attributes[ATTR_PERSONA] ?? '') : '',
    personaId: voice ? (attributes[ATTR_PERSONA_ID] ?? '') : null,
    participant,
  };
}
