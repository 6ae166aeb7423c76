/** The personas that a person chose, and their settings; this browser remembers it. */

import type { Config, Sampling } from '../../service/service';
import type { AskedPersona } from '../../service/sessions';
import { Remembered } from '../../store/stored';
import { t } from '../../strings/strings';

export const OWN = 'my_own';

export interface Choice {
  /** False until the person has picked anything: then the default persona is. */
  touched: boolean;
  picked: string[];
  ownLabel: string;
  ownPrompt: string;
  /** Voices that are not the persona's usual one, by its name. */
  voices: Record<string, string>;
  /** What is not as the model usually does it. */
  sampling: Partial<Sampling>;
  /** What the others in the room read. */
  name: string;
}

// Until a worker tells its model's own: moshi 0.2.13 lm.py `LMGen`, as in `protocol/sampling.py`.
const COMMON_SAMPLING: Sampling = {
  text_temperature: 0.7,
  text_top_k: 25,
  audio_temperature: 0.8,
  audio_top_k: 250,
};

const isText = (value: unknown) => typeof value === 'string';

export const choice = new Remembered<Choice>(
  'choice',
  {
    touched: false,
    picked: [],
    ownLabel: '',
    ownPrompt: '',
    voices: {},
    sampling: {},
    name: '',
  },
  {
    picked: (names) => names.every(isText),
    voices: (voices) => Object.values(voices).every(isText),
    sampling: (sampling) =>
      Object.entries(sampling).every(
        ([key, value]) => key in COMMON_SAMPLING && Number.isFinite(value),
      ),
  },
);

/** The picked personas that exist, in the order of the catalogue; where all are gone, the default one. */
export function pickedOf({ touched, picked }: Choice, config: Config): string[] {
  if (!touched) return [config.default_persona];
  const names = [...config.personas.map(({ name }) => name), ...(mayDescribe(config) ? [OWN] : [])];
  const found = names.filter((name) => picked.includes(name));
  return found.length > 0 || picked.length === 0 ? found : [config.default_persona];
}

/** Whether the running model follows a prompt, so that a person's own character makes sense. */
export function mayDescribe({ model }: Config): boolean {
  return model?.prompts !== false;
}

/** Whether the person's own character is picked and not described yet. */
export function isUndescribed({ ownPrompt }: Choice, picked: readonly string[]): boolean {
  return picked.includes(OWN) && !ownPrompt.trim();
}

/** The running model's default sampling. */
export function usualSampling(config: Config): Sampling {
  return config.model?.sampling ?? COMMON_SAMPLING;
}

/** What to ask the service for. */
export function askedFor(chosen: Choice, names: readonly string[], config: Config): AskedPersona[] {
  const usual = usualSampling(config);
  const changed = Object.entries(chosen.sampling).filter(
    ([key, value]) => value !== usual[key as keyof Sampling],
  );
  return names.map((name) => {
    const voice = chosen.voices[name];
    return {
      name,
      ...(name === OWN ? ownOf(chosen) : {}),
      ...(voice && config.voices.includes(voice) ? { voice } : {}),
      ...(changed.length ? { sampling: Object.fromEntries(changed) } : {}),
    };
  });
}

function ownOf({ ownLabel, ownPrompt }: Choice): { label: string; prompt: string } {
  return { label: ownLabel.trim() || t.start.own, prompt: ownPrompt.trim() };
}
