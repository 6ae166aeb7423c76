/** The end of a text that fits three short lines. Pure. */

const CHARACTERS = 60;

/** The last whole words; what came before is an ellipsis. */
export function tailOf(text: string): string {
  const said = text.trim();
  if (said.length <= CHARACTERS) return said;
  const end = said.slice(-CHARACTERS);
  return `…${end.slice(end.indexOf(' ') + 1)}`;
}
