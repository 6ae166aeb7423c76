/** One thing that happened: time, where from, one line; the details open. */

import type { Happening } from '../service/eventLog';

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium', hour12: false });

export function LogLine({ happening }: { happening: Happening }) {
  const { atMs, level, source, text, details } = happening;
  const line = (
    <>
      <time dateTime={new Date(atMs).toISOString()}>{CLOCK.format(atMs)}</time>
      <span className="level" data-level={level} title={level}>
        <span className="unseen">{level}</span>
      </span>
      <span className="text">
        {text} <span className="source">{source}</span>
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
