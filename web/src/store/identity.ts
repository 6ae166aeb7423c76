/**
 * This tab's identity in a room: it stays through a reload and differs between tabs.
 *
 * A browser copies the storage of a tab into one that is made of it (“duplicate”, `window.open`),
 * and two people of one identity put each other out of a room. So the identity lies there only while
 * no page of the tab is shown.
 */

const KEY = 'moshi-rooms.identity';
const own = take() ?? freshIdentity();

export function identity(): string {
  return own;
}

window.addEventListener('pagehide', () => {
  try {
    sessionStorage.setItem(KEY, own);
  } catch {
    // a browser that stores nothing
  }
});
window.addEventListener('pageshow', take);

/** Take the identity out of the storage; `null` where there is none. */
function take(): string | null {
  try {
    const kept = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
    return kept;
  } catch {
    return null;
  }
}

/** A name that cannot be guessed. Pages without https have `getRandomValues` and no `randomUUID`. */
function freshIdentity(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return `person-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
