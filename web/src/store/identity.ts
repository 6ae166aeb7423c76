/** This tab's identity in a room: it stays through a reload and differs between tabs. */

const KEY = 'moshi-rooms.identity';

export function identity(): string {
  try {
    const kept = sessionStorage.getItem(KEY);
    if (kept) return kept;
    const fresh = freshIdentity();
    sessionStorage.setItem(KEY, fresh);
    return fresh;
  } catch {
    return freshIdentity(); // a browser that stores nothing
  }
}

/** A name that cannot be guessed. Pages without https have `getRandomValues` and no `randomUUID`. */
function freshIdentity(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `person-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
