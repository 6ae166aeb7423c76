/** The end of a text that fits three short lines. Pure. */

const CHARACTERS = 60;

/** The last whole words; what came before is an ellipsis. */
export function tailOf(text: string): string {
  const said = [...text.trim()]; // by whole characters: an emoji is several units
  if (said.length <= CHARACTERS) return said.join('');
  const end = said.slice(-CHARACTERS).join('');
  return `…${end.slice(end.indexOf(' ') + 1)}`;
}
