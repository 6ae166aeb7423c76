/** The page's sentences in the browser's language; English where no file has it. */

import { en, type Strings } from './strings.en';

type Load = () => Promise<Strings>;

const OTHERS: Record<string, Load> = {
  de: () => import('./strings.de').then(({ de }) => de),
  fr: () => import('./strings.fr').then(({ fr }) => fr),
};

/** Read them when they are shown, not when a module loads. */
export let t: Strings = en;

/** A number as the language writes it, with this many places after its point. */
export function decimal(value: number, places: number): string {
  const digits = { minimumFractionDigits: places, maximumFractionDigits: places };
  return new Intl.NumberFormat(t.language, digits).format(value);
}

/** Load the first of these languages that the page has. Call it before the page is drawn. */
export async function speak(languages: readonly string[]): Promise<void> {
  const short = languages.map((each) => each.slice(0, 2).toLowerCase());
  const first = short.find((each) => each === 'en' || each in OTHERS);
  const load = OTHERS[first ?? ''];
  t = load ? await load().catch(() => en) : en;
  document.documentElement.lang = t.language;
}
