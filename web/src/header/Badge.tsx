/** How the call stands, in one or two words; a screen reader hears each change. */

import { t } from '../strings/strings';
import './Badge.css';
import type { CallState } from '../session/state/phase';
import { Clock } from './Clock';

export function Badge({ call }: { call: CallState | null }) {
  const phase = call?.phase;
  return (
    <div className="badge" data-phase={phase ?? 'none'}>
      <span role="status">{phase ? t.phases[phase] : ''}</span>
      {phase === 'full' && call && call.position > 0 && <b>{call.position}</b>}
      {phase === 'live' && call?.liveSinceMs != null && <Clock sinceMs={call.liveSinceMs} />}
    </div>
  );
}
