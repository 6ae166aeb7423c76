/** Links into rooms: what the page's own address asks for, and what an invitation says. Pure. */

import { isOwn } from '../../service/ownMachine';

export interface Link {
  /** A room by name. */
  room: string | null;
  /** The personas of that room, by name. */
  personas: readonly string[];
  /** A guest's pass. In the fragment: it is sent to no server with the page's address. */
  guest: string | null;
}

/** Read `/?room=…&persona=…#guest=…`; several personas come as several, or with commas. */
export function linkOf({ search, hash }: { search: string; hash: string }): Link {
  const asked = new URLSearchParams(search);
  const fragment = new URLSearchParams(hash.replace(/^#/, ''));
  const personas = asked.getAll('persona').flatMap((each) => each.split(','));
  return {
    room: asked.get('room')?.trim() || null,
    personas: personas.map((name) => name.trim()).filter(Boolean),
    guest: fragment.get('guest') || null,
  };
}

/** The address that leads a guest here. */
export function invitationUrl(page: string, room: string, bearer: string): string {
  const url = new URL('./', page);
  url.searchParams.set('room', room);
  url.hash = new URLSearchParams({ guest: bearer }).toString();
  return url.href;
}

/** Whether a second person could come: both addresses are secure, and not this machine's own. */
export function mayInvite(page: string, livekit: string): boolean {
  if (!page.startsWith('https:') || !livekit.startsWith('wss:')) return false;
  return ![page, livekit].some((address) => isOwn(new URL(address).hostname));
}
