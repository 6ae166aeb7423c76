/** How the call stands, in one or two words; a screen reader hears each change. */

import './Badge.css';
import type { CallState, Phase } from '../session/phase';
import { Clock } from './Clock';

const WORDS: Record<Phase, string> = {
  connecting: 'Connecting',
  full: 'In line',
  warming: 'Warming up',
  live: 'Live',
  reconnecting: 'Reconnecting',
  ended: 'Ended',
  disconnected: 'Disconnected',
  error: 'Error',
};

export function Badge({ call }: { call: CallState | null }) {
  const phase = call?.phase;
  return (
    <div className="badge" data-phase={phase ?? 'none'}>
      <span role="status">{phase ? WORDS[phase] : ''}</span>
      {phase === 'full' && call && call.position > 0 && <b>{call.position}</b>}
      {phase === 'live' && call?.liveSinceMs != null && <Clock sinceMs={call.liveSinceMs} />}
    </div>
  );
}
