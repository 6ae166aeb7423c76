/** Asks the service the same again and again. */

/**
 * Ask at once, and `everyMs` after each answer, until the returned function is called; a page that
 * nobody sees asks nothing. `take` gets `null` where there is no answer.
 */
export function poll<T>(
  ask: () => Promise<T>,
  everyMs: number,
  take: (answer: T | null) => void,
): () => void {
  let over = false;
  let timer: ReturnType<typeof setTimeout>;
  const look = async () => {
    const seen = !document.hidden;
    const answer = seen ? await ask().catch(() => null) : null;
    if (over) return;
    if (seen) take(answer);
    timer = setTimeout(look, everyMs);
  };
  look();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
