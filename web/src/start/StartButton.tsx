/** Whether one can start now, and the button that does. */

import { t } from '../strings/strings';
import { Wave } from '../ui/theme/icons';
import './StartButton.css';
import { Notice } from '../ui/Notice';
import type { Readiness } from './readiness';

interface Props {
  readiness: Readiness;
  label: string;
  onStart: () => void;
}

export function StartButton({ readiness, label, onStart }: Props) {
  return (
    <section className="launch" aria-label={t.start.launch}>
      {readiness.trouble && <Notice trouble={readiness.trouble} />}
      <div className="bar">
        <button type="button" className="go" aria-disabled={!readiness.ready} onClick={onStart}>
          <Wave />
          {readiness.line ? t.start.waitInLine : label}
        </button>
        <p className="ready" role="status">
          {readiness.words}
        </p>
      </div>
    </section>
  );
}
