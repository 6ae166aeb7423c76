/** What the page asks of a session that runs: how it is, whom to hush, whom to invite, its end. */

import { ask } from './request';

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
  /** Who is in the room. */
  people: { identity: string }[];
}

export interface GuestLink {
  bearer: string;
  room: string;
  ends_at_s: number;
}

const path = (session: string, what = '') => `sessions/${encodeURIComponent(session)}${what}`;

export const viewSession = (session: string) => ask<SessionView>(path(session));

/** End it for everybody. May be asked while the page goes. */
export const endSession = (session: string) =>
  ask<void>(path(session), { method: 'DELETE', keepalive: true });

/** Let a persona be heard no more, by anybody, or again. */
export const hushPersona = (session: string, persona_id: string, muted: boolean) =>
  ask<PersonaView[]>(path(session, '/mute'), { method: 'POST', body: { persona_id, muted } });

/** Sign a guest link to this session's room. */
export const inviteGuests = (session: string, lives_s: number) =>
  ask<GuestLink>(path(session, '/guests'), { method: 'POST', body: { lives_s } });

/** Say how it went, in 1 to 5. */
export const rateSession = (session: string, rating: number) =>
  ask<void>(path(session, '/rating'), { method: 'POST', body: { rating } });

/** The session of a room, where the caller has one. */
export async function sessionOf(room: string): Promise<SessionView | null> {
  const rooms = await ask<SessionView[]>(`sessions?room=${encodeURIComponent(room)}`);
  const found = rooms.find((each) => each.state !== 'ended');
  return found ? viewSession(found.id) : null;
}
