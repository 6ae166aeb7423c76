/** What the workers say of themselves: how slow their slowest steps are, how many places are taken. */

import type { WorkerStatus } from '../service/service';
import { useStatus } from './useStatus';
import './WorkerPerformance.css';

const FRAME_MS = 80;

export function WorkerFigures() {
  const status = useStatus();
  if (!status) return null;
  return (
    <section>
      <h2>Behind it</h2>
      {status.workers.map((worker, place) => (
        <Worker key={worker.id} worker={worker} name={`Worker ${place + 1}`} />
      ))}
      {status.rooms_waiting > 0 && <p className="soft">{status.rooms_waiting} rooms wait.</p>}
    </section>
  );
}

function Worker({ worker, name }: { worker: WorkerStatus; name: string }) {
  const { slots_used: used, slots_total: total, step_p99_ms: p99 } = worker;
  return (
    <div className="worker">
      <span>{name}</span>
      <span
        className="slots"
        role="img"
        aria-label={`${used} of ${total} places are taken`}
        title={`${used} of ${total} places are taken`}
      >
        {Array.from({ length: total }, (_, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: places have no other name
          <span key={place} data-used={place < used} />
        ))}
      </span>
      <span className="step" title={`99 of 100 steps are quicker; a frame is ${FRAME_MS} ms`}>
        {p99 === null ? worker.state : `step p99 ${Math.round(p99)} ms`}
      </span>
    </div>
  );
}
