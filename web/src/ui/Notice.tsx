/** What went wrong, why, and what to do. */

import './Notice.css';
import type { Trouble } from '../session/state/trouble';

export function Notice({ trouble }: { trouble: Trouble }) {
  return (
    <div className="notice" role="alert" data-kind={trouble.kind}>
      <strong>{trouble.title}</strong>
      <p>{trouble.why}</p>
      <p className="todo">{trouble.todo}</p>
    </div>
  );
}
