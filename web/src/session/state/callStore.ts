/** The state of one call, which the page shows; each change of its phase is logged. */

import type { AskedPersona, Why } from '../../service/sessions';
import { journal } from '../../store/eventLog';
import { Listeners } from '../../store/listeners';
import { t } from '../../strings/strings';
import { BEGINNING, type CallState, isOver } from './phase';

export class CallStore extends Listeners {
  protected state: CallState;

  constructor(personas: readonly AskedPersona[]) {
    super();
    this.state = { ...BEGINNING, personas: personas.map(unseen) };
  }

  readonly read = () => this.state;

  protected get over(): boolean {
    return isOver(this.state.phase);
  }

  protected readonly set = (change: Partial<CallState>): void => {
    const before = this.state;
    const keys = Object.keys(change) as (keyof CallState)[];
    if (keys.every((key) => change[key] === before[key])) return;
    this.state = { ...before, ...change };
    if (before.phase !== this.state.phase) logPhase(this.state);
    this.tell();
  };
}

/** Return the service's sentence why no voice is there. */
export function reasonOf(waiting: Why | null): string {
  return waiting ? (t.refusals[waiting.code] ?? waiting.detail) : '';
}

function logPhase({ phase, trouble, reason, position }: CallState): void {
  const level = phase === 'error' || phase === 'disconnected' ? 'error' : 'info';
  const details = trouble ? { ...trouble } : reason ? { reason, position } : null;
  const text = t.panels.happenings.phase(trouble?.title ?? t.phases[phase]);
  journal.add(level, 'page', text, details);
}

/** A persona before the service has said anything about it. */
function unseen({ name, label }: AskedPersona) {
  return { id: '', name, label: label ?? name, muted: false };
}
