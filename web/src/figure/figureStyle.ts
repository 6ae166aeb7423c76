/** A face for every voice: a colour and the number of petals of its figure. Pure. */

export interface Face {
  /** Degrees on the colour circle; `null` for people, who have the colour of the ink. */
  hue: number | null;
  petals: number;
}

// Far apart to the eye, and apart in lightness-free hue; the order is the catalogue's.
const HUES = [165, 245, 45, 305, 20, 205, 80, 345];
const PETALS = [5, 3, 4, 6, 7, 8];

const STRANGERS = 3; // colours after the catalogue's

export const PERSON: Face = { hue: null, petals: 2 };

/** The face of a persona: its place in the catalogue decides, else the letters of its name. */
export function faceOf(name: string, catalogue: readonly { name: string }[]): Face {
  const place = catalogue.findIndex((persona) => persona.name === name);
  const letters = [...name].reduce((sum, letter) => sum + letter.charCodeAt(0), 0);
  const at = place >= 0 ? place : catalogue.length + (letters % STRANGERS);
  return { hue: HUES[at % HUES.length] ?? null, petals: PETALS[at % PETALS.length] ?? 5 };
}
