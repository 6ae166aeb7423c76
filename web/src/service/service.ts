/** The token service as the page sees it: personas, model, and whether a call can start. */

import { ask } from './request';

export interface Sampling {
  text_temperature: number;
  text_top_k: number;
  audio_temperature: number;
  audio_top_k: number;
}

/** A persona of the catalogue; the service gives more fields than the page shows. */
export interface Persona {
  name: string;
  label: string;
  line: string;
  voice: string;
  prompt: string;
  /** What one could ask it. */
  examples: string[];
  /** The persona that defines its mind; empty where it has none, and reads nothing. */
  mind: string;
}

export interface Model {
  name: string;
  note: string;
  /** Whether it follows a persona's prompt, and not its sampling alone. */
  prompts: boolean;
  /** The default sampling. */
  sampling: Sampling;
}

export interface Config {
  livekit_url: string;
  default_persona: string;
  /** What the operator’s page looks like; empty where it is as shipped. */
  page: { name: string; colour: string; logo: string; terms: string; privacy: string };
  /** What the model speaks, as `Intl` names languages. */
  languages: string[];
  personas: Persona[];
  /** Unknown until a worker has registered. */
  model: Model | null;
  /** Whether what people say is written, too. */
  people_words: { written: boolean };
  /** None where the model has a single one. */
  voices: string[];
  /** Whether people are asked how it went. */
  ratings: boolean;
  limits: { personas_per_room: number; prompt_characters: number };
  slots_free: number;
  ready: boolean;
  /** Why not ready: a code for the page and a sentence for people. Both empty when ready. */
  code: string;
  reason: string;
}

export interface WorkerStatus {
  id: string;
  state: string;
  slots_total: number;
  slots_used: number;
  step_p99_ms: number | null;
}

export interface Status {
  workers: WorkerStatus[];
  rooms_waiting: number;
}

/** What a persona says is in this language, where the model speaks a single one. */
export function languageOf(config: Config | null): string | undefined {
  return config?.languages.length === 1 ? config.languages[0] : undefined;
}

export const fetchConfig = () => ask<Config>('api/config');
/** The catalogue, each persona with the only `lines` that it can say; `null`: any line. */
export const fetchPersonas = () => ask<(Persona & { lines: string[] | null })[]>('personas');
export const fetchStatus = () => ask<Status>('status');
