/** What the page asks of a session that runs: how it is, its personas, a guest link, its end. */

import { ask } from './request';
import type { Sampling } from './service';

/** A persona by its name in the catalogue, with its changed fields, or one of the person's own. */
export interface AskedPersona {
  name: string;
  label?: string;
  voice?: string;
  prompt?: string;
  sampling?: Partial<Sampling>;
}

export interface PersonaView {
  id: string;
  name: string;
  label: string;
  muted: boolean;
}

/** Why a room waits: a code for programs, a sentence for people, the place in the line. */
export interface Why {
  code: string;
  detail: string;
  position: number;
}

export interface SessionView {
  id: string;
  room: string;
  state: 'open' | 'waiting' | 'starting' | 'live' | 'ended';
  waiting: Why | null;
  personas: PersonaView[];
  /** The people in the room. */
  people: { identity: string }[];
}

export interface GuestLink {
  bearer: string;
  room: string;
  ends_at_s: number;
}

const path = (session: string, what = '') => `sessions/${encodeURIComponent(session)}${what}`;

export const viewSession = (session: string) => ask<SessionView>(path(session));

/** End the session for all. The request may outlive the page. */
export const endSession = (session: string) =>
  ask<void>(path(session), { method: 'DELETE', keepalive: true });

/** Mute or unmute a persona for all people. */
export const mutePersona = (session: string, persona_id: string, muted: boolean) =>
  ask<PersonaView[]>(path(session, '/mute'), { method: 'POST', body: { persona_id, muted } });

/** Let a persona say a line once, at its next pause. */
export const sayLine = (session: string, persona_id: string, text: string) =>
  ask<void>(path(session, '/say'), { method: 'POST', body: { persona_id, text } });

/** Clear a persona's memory of the conversation. */
export const forget = (session: string, persona_id: string) =>
  ask<void>(path(session, '/forget'), { method: 'POST', body: { persona_id } });

/** Add personas to the room; the conversation of the others goes on. */
export const addPersona = (session: string, personas: readonly AskedPersona[]) =>
  ask<void>(path(session, '/personas'), { method: 'POST', body: { personas } });

export const removePersona = (session: string, persona_id: string) =>
  ask<void>(path(session, `/personas/${encodeURIComponent(persona_id)}`), { method: 'DELETE' });

/** Sign a guest link to this session's room. */
export const inviteGuests = (session: string, lives_s: number) =>
  ask<GuestLink>(path(session, '/guests'), { method: 'POST', body: { lives_s } });

/** A session that may be rated, by a guest with their bearer. */
export interface Rated {
  session: string;
  guest: string | null;
}

/** Say how it went, in 1 to 5. */
export const rateSession = ({ session, guest }: Rated, rating: number) =>
  ask<void>(path(session, '/rating'), { method: 'POST', body: { rating }, bearer: guest });

/** The session of a room, where the caller has one. */
export async function sessionOf(room: string): Promise<SessionView | null> {
  const rooms = await ask<SessionView[]>(`sessions?room=${encodeURIComponent(room)}`);
  const found = rooms.find((each) => each.state !== 'ended');
  return found ? viewSession(found.id) : null;
}
