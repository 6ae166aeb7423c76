/** Voices by name, in groups for people. PersonaPlex names its own by kind, sex and number. Pure. */

import { t } from '../../strings/strings';
export interface VoiceGroup {
  label: string;
  voices: { name: string; label: string }[];
}

const KINDS = ['NAT', 'VAR'];
const SEXES = ['F', 'M'];
const PATTERN = /^(NAT|VAR)([FM])(\d+)$/;

/** Group in a fixed order: natural before varied, female before male, others last. */
export function groupsOf(names: readonly string[]): VoiceGroup[] {
  const groups = new Map<string, VoiceGroup>();
  for (const kind of KINDS) {
    for (const sex of SEXES) {
      const label = groupOf(`${kind}${sex}0`);
      groups.set(label, { label, voices: [] });
    }
  }
  groups.set(t.voices.others, { label: t.voices.others, voices: [] });
  for (const name of names) {
    groups.get(groupOf(name))?.voices.push({ name, label: labelOf(name) });
  }
  return [...groups.values()].filter(({ voices }) => voices.length > 0);
}

/** A voice's name for people: `NATF0` is “Natural, female 1”. */
export function labelOf(name: string): string {
  const number = PATTERN.exec(name)?.[3];
  return number === undefined ? name : `${groupOf(name)} ${Number(number) + 1}`;
}

function groupOf(name: string): string {
  const found = PATTERN.exec(name);
  if (!found) return t.voices.others;
  const kind = found[1] === 'NAT' ? t.voices.natural : t.voices.varied;
  return `${kind}, ${found[2] === 'F' ? t.voices.female : t.voices.male}`;
}
