/** How quick everything is: answers, the way to the room, the workers' steps. */

import { useConnectionQualityIndicator, useLocalParticipant } from '@livekit/components-react';
import { ConnectionQuality } from 'livekit-client';
import type { Call } from '../session/call';
import './PerformancePanel.css';
import { Plot } from './Plot';
import { WorkerFigures } from './WorkerPerformance';

const QUALITY: Record<ConnectionQuality, string> = {
  [ConnectionQuality.Excellent]: 'excellent',
  [ConnectionQuality.Good]: 'good',
  [ConnectionQuality.Poor]: 'poor',
  [ConnectionQuality.Lost]: 'lost',
  [ConnectionQuality.Unknown]: 'not known yet',
};

export function FiguresPanel({ call, over }: { call: Call; over: boolean }) {
  const { localParticipant } = useLocalParticipant();
  const { quality } = useConnectionQualityIndicator({ participant: localParticipant });
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling box must be reached by keys
    <div className="figures" tabIndex={0}>
      <Plot title="Voice to voice" about="your last sound to its first" gauge={call.turns} />
      <Plot title="Round trip" about="to the room and back" gauge={call.pulse.roundTrip} />
      <dl>
        <div>
          <dt>Connection</dt>
          <dd data-quality={quality}>{over ? 'ended' : QUALITY[quality]}</dd>
        </div>
        <div>
          <dt>Sound goes by</dt>
          <dd>{call.pulse.protocol.toUpperCase() || 'not known yet'}</dd>
        </div>
      </dl>
      <WorkerFigures />
    </div>
  );
}
