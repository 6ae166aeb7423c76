/** Whether one can start now, and the button that does. */

import type { ReactNode } from 'react';
import { Wave } from '../ui/icons';
import './StartButton.css';
import { Notice } from '../ui/Notice';
import type { Readiness } from './readiness';

interface Props {
  readiness: Readiness;
  label: string;
  onStart: () => void;
  children?: ReactNode;
}

export function Launch({ readiness, label, onStart, children }: Props) {
  return (
    <section className="launch" aria-label="Start">
      {readiness.trouble && <Notice trouble={readiness.trouble} />}
      <button type="button" className="go" disabled={!readiness.ready} onClick={onStart}>
        <Wave />
        {readiness.line ? 'Wait in line' : label}
      </button>
      <p className="ready" role="status">
        {readiness.words}
      </p>
      {children}
    </section>
  );
}
