/** Who this tab is in a room: the same again after a reload, another one in another tab. */

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

/** A name that nobody guesses. Pages without https have `getRandomValues` and no `randomUUID`. */
function freshIdentity(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `person-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
