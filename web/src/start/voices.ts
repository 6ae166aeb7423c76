/** Voices by name, in groups for people. PersonaPlex names its own by kind, sex and number. Pure. */

export interface VoiceGroup {
  label: string;
  voices: { name: string; label: string }[];
}

const KINDS: Record<string, string> = { NAT: 'Natural', VAR: 'Varied' };
const SEXES: Record<string, string> = { F: 'female', M: 'male' };
const PATTERN = /^(NAT|VAR)([FM])(\d+)$/;
const OTHERS = 'Others';

/** Group in a fixed order: natural before varied, female before male, others last. */
export function groupsOf(names: readonly string[]): VoiceGroup[] {
  const groups = new Map<string, VoiceGroup>();
  for (const kind of Object.values(KINDS)) {
    for (const sex of Object.values(SEXES)) {
      const label = `${kind}, ${sex}`;
      groups.set(label, { label, voices: [] });
    }
  }
  groups.set(OTHERS, { label: OTHERS, voices: [] });
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
  return found ? `${KINDS[found[1] ?? '']}, ${SEXES[found[2] ?? '']}` : OTHERS;
}
