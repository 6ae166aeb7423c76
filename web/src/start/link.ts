/** Links into rooms: what the page's own address asks for, and what an invitation says. Pure. */

export interface Link {
  /** A room by name. */
  room: string | null;
  /** Whom to meet there, by name. */
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

/** What keeps somebody else from coming: sentences; none where an invitation works. */
export function missingFor(page: string, livekit: string): string[] {
  const [here, room] = [new URL(page), new URL(livekit)];
  const missing: string[] = [];
  if (isOwn(here.hostname)) {
    missing.push(`This page has the address ${here.host}, which only this machine can open.`);
  } else if (here.protocol !== 'https:') {
    missing.push('This page comes without https, and browsers then give it no microphone.');
  }
  if (isOwn(room.hostname)) {
    missing.push(`LiveKit has the address ${room.host}, which only this machine can reach.`);
  } else if (room.protocol !== 'wss:') {
    missing.push('LiveKit has no wss:// address, which an https page needs.');
  }
  return missing;
}

/** Whether a name means whichever machine reads it. */
function isOwn(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\./.test(hostname)
  );
}
