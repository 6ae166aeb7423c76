/** Asks again and again how a session is, while no voice answers yet. */

import { type SessionView, viewSession } from '../../service/sessions';

const EVERY_MS = 1_500;

/** Ask until told to stop; questions without an answer are asked again. */
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
