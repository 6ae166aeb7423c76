/** Whom a person chose and how they shall be; this browser remembers it. */

import type { AskedPersona } from './entry';
import { Remembered } from './remembered';
import type { Config, Sampling } from './service';

export const OWN = 'my_own';

export interface Choice {
  /** False until the person has picked anything: then the default persona is. */
  touched: boolean;
  picked: string[];
  ownLabel: string;
  ownPrompt: string;
  /** Voices that are not the persona's usual one, by its name. */
  voices: Record<string, string>;
  sampling: Sampling;
  /** What the others in the room read. */
  name: string;
}

// moshi 0.2.13 lm.py `LMGen.__init__`, as in `protocol/personas.py`.
export const USUAL_SAMPLING: Sampling = {
  text_temperature: 0.7,
  text_top_k: 25,
  audio_temperature: 0.8,
  audio_top_k: 250,
};

export const choice = new Remembered<Choice>('choice', {
  touched: false,
  picked: [],
  ownLabel: '',
  ownPrompt: '',
  voices: {},
  sampling: USUAL_SAMPLING,
  name: '',
});

/** Who is picked and exists, in the order of the catalogue. */
export function pickedOf({ touched, picked }: Choice, config: Config): string[] {
  if (!touched) return [config.default_persona];
  const names = [...config.personas.map(({ name }) => name), OWN];
  return names.filter((name) => picked.includes(name));
}

/** What to ask the service for. */
export function askedFor(wish: Choice, names: readonly string[], config: Config): AskedPersona[] {
  const { sampling } = wish;
  const usual = (Object.keys(USUAL_SAMPLING) as (keyof Sampling)[]).every(
    (key) => sampling[key] === USUAL_SAMPLING[key],
  );
  return names.map((name) => {
    const voice = wish.voices[name];
    return {
      name,
      ...(name === OWN ? ownOf(wish) : {}),
      ...(voice && config.voices.includes(voice) ? { voice } : {}),
      ...(usual ? {} : { sampling }),
    };
  });
}

function ownOf({ ownLabel, ownPrompt }: Choice): { label: string; prompt: string } {
  return { label: ownLabel.trim() || 'Your own', prompt: ownPrompt.trim() };
}
