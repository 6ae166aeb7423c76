/** One thing that happened: time, where from, one line; the details open. */

import type { Happening } from '../../store/eventLog';
import { t } from '../../strings/strings';

/** The time of day of a moment, in the person's zone. */
export function timeOf(atMs: number): string {
  const clock = new Intl.DateTimeFormat(t.language, { timeStyle: 'medium', hourCycle: 'h23' });
  return clock.format(atMs);
}

export function LogLine({ happening }: { happening: Happening }) {
  const { atMs, level, source, text, details } = happening;
  const { level: names, sources } = t.panels.happenings;
  const line = (
    <>
      <time dateTime={new Date(atMs).toISOString()}>{timeOf(atMs)}</time>
      <span className="level" data-level={level} title={names[level]}>
        <span className="unseen">{names[level]}</span>
      </span>
      <span className="text">
        {text} <span className="source">{sources[source]}</span>
      </span>
    </>
  );
  if (!details) return <div className="log-line">{line}</div>;
  return (
    <details className="log-line">
      <summary>{line}</summary>
      <pre>{JSON.stringify(details, null, 2)}</pre>
    </details>
  );
}
