/** Asks for a session's state again and again while no voice answers yet. */

import { type SessionView, viewSession } from '../../service/sessions';

const EVERY_MS = 1_500;

/** Ask until the returned function is called; a request without an answer is repeated. */
export function watch(session: string, take: (view: SessionView) => void): () => void {
  let over = false;
  let timer: ReturnType<typeof setTimeout>;
  const look = async () => {
    const view = await viewSession(session).catch(() => null);
    if (over) return;
    if (view) take(view);
    timer = setTimeout(look, EVERY_MS);
  };
  look();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
