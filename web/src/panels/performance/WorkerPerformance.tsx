/** The workers' figures: how slow their slowest steps are, and how many slots are occupied. */

import type { WorkerStatus } from '../../service/service';
import { t } from '../../strings/strings';
import { useStatus } from './useStatus';
import './WorkerPerformance.css';

const FRAME_MS = 80;

export function WorkerFigures() {
  const status = useStatus();
  if (!status) return null;
  return (
    <section>
      <h2>{t.panels.figures.behind}</h2>
      {status.workers.map((worker, place) => (
        <Worker key={worker.id} worker={worker} name={t.panels.figures.worker(place + 1)} />
      ))}
      {status.rooms_waiting > 0 && (
        <p className="soft">{t.panels.figures.waiting(status.rooms_waiting)}</p>
      )}
    </section>
  );
}

function Worker({ worker, name }: { worker: WorkerStatus; name: string }) {
  const { slots_used: used, slots_total: total, step_p99_ms: p99, state } = worker;
  const words = t.panels.figures;
  const taken = words.taken(used, total);
  return (
    <div className="worker">
      <span>{name}</span>
      <span className="slots" role="img" aria-label={taken} title={taken}>
        {Array.from({ length: total }, (_, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: places have no other name
          <span key={place} data-used={place < used} />
        ))}
      </span>
      <span className="step" title={words.stepIs(FRAME_MS)}>
        {p99 === null ? (words.states[state] ?? state) : words.step(Math.round(p99))}
      </span>
    </div>
  );
}
