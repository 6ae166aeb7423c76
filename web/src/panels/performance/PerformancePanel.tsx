/** How quick everything is: answers, the way to the room, the workers' steps. */

import { useConnectionQualityIndicator, useLocalParticipant } from '@livekit/components-react';
import type { Call } from '../../session/call';
import { t } from '../../strings/strings';
import './PerformancePanel.css';
import { Plot } from './Plot';
import { WorkerFigures } from './WorkerPerformance';

export function PerformancePanel({ call, over }: { call: Call; over: boolean }) {
  const { localParticipant } = useLocalParticipant();
  const { quality } = useConnectionQualityIndicator({ participant: localParticipant });
  const words = t.panels.figures;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling box must be reached by keys
    <div className="figures" tabIndex={0}>
      <Plot title={words.voiceToVoice} about={words.voiceToVoiceIs} gauge={call.turns} />
      <Plot
        title={words.roundTrip}
        about={words.roundTripIs}
        gauge={call.connectionQuality.roundTrip}
      />
      <dl>
        <div>
          <dt>{words.connection}</dt>
          <dd data-quality={quality}>{over ? words.over : words.quality[quality]}</dd>
        </div>
        <div>
          <dt>{words.soundGoesBy}</dt>
          <dd>{call.connectionQuality.protocol.toUpperCase() || words.quality.unknown}</dd>
        </div>
      </dl>
      <WorkerFigures />
    </div>
  );
}
