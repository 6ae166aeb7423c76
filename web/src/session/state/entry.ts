/**
 * The way into a room: a new session, a token for an existing one, or a guest's pass.
 *
 * The same request with the same room and identity leads back to the same slots.
 */

import { ask, Refused } from '../../service/request';
import { type AskedPersona, type PersonaView, type Rated, sessionOf } from '../../service/sessions';
import { ATTR_RECORD_CONSENT } from '../../service/wire';

/** What a guest link's bearer looks like; the service may let in whoever comes with anything else. */
const GUEST_BEARER = /^mrg_[\w.-]+$/;

export interface EntryRequest {
  personas: readonly AskedPersona[];
  /** The room's name; `null` for a new room. */
  room: string | null;
  identity: string;
  name: string;
  /** A guest's bearer, which is valid for its room only. */
  guest: string | null;
  /** Whether the person agreed to be recorded; missing until the person was asked. */
  agreed?: boolean;
}

/** Which people of a recorded room are recorded: those who agree, or all, who are told. */
export type Recording = 'ask' | 'told';

export interface Entry {
  serverUrl: string;
  token: string;
  room: string;
  /** `null` where the page may only talk and not look after the session. */
  session: string | null;
  /** The session that the person may rate; a guest may, too. */
  rated: Rated | null;
  /** Whether this entry opened the session, and no person has joined it. */
  opened: boolean;
  /** The personas to expect. */
  personas: readonly PersonaView[];
  recording: Recording | null;
}

interface OpenedSession {
  id: string;
  room: string;
  server_url: string;
  participant_token: string;
  recording: Recording | null;
  personas: PersonaView[];
}

interface TokenAnswer {
  server_url: string;
  participant_token: string;
  room_name: string;
  recording?: Recording;
  /** A guest's. */
  session_id?: string;
}

/**
 * Join the room's session, whoever owns it; open one if there is none.
 *
 * Throws `Refused`, or `TypeError` if the service does not answer.
 */
export async function enter(request: EntryRequest): Promise<Entry> {
  if (request.guest !== null) {
    if (GUEST_BEARER.test(request.guest)) return byToken(request);
    throw new Refused(401, 'unauthorized', 'The guest link is invalid or expired.');
  }
  const session = request.room === null ? null : await sessionOf(request.room).catch(() => null);
  if (session === null) return bySession(request);
  const { id, personas } = session;
  const rated = { session: id, guest: null };
  return { ...(await byToken(request)), session: id, rated, personas };
}

async function bySession({ personas, room, identity, name, agreed }: EntryRequest): Promise<Entry> {
  const body = {
    personas,
    identity,
    name,
    wait: true,
    ...(room === null ? {} : { room }),
    ...(agreed ? { record_consent: true } : {}),
  };
  const opened = await ask<OpenedSession>('sessions', { method: 'POST', body });
  return {
    serverUrl: opened.server_url,
    token: opened.participant_token,
    room: opened.room,
    session: opened.id,
    rated: { session: opened.id, guest: null },
    opened: true,
    personas: opened.personas,
    recording: opened.recording,
  };
}

/** LiveKit's standard token endpoint. */
async function byToken({ room, identity, name, guest, agreed }: EntryRequest): Promise<Entry> {
  const body = {
    participant_identity: identity,
    participant_name: name,
    ...(room === null ? {} : { room_name: room }),
    ...(agreed ? { participant_attributes: { [ATTR_RECORD_CONSENT]: 'true' } } : {}),
  };
  const answer = await ask<TokenAnswer>('token', { method: 'POST', body, bearer: guest });
  return {
    serverUrl: answer.server_url,
    token: answer.participant_token,
    room: answer.room_name,
    session: null,
    rated: answer.session_id ? { session: answer.session_id, guest } : null,
    opened: false,
    personas: [],
    recording: answer.recording ?? null,
  };
}
