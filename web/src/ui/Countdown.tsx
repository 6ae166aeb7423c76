/** Seconds until the next try, and a button that tries at once. */

import { useEffect, useState } from 'react';
import { t } from '../strings/strings';
import './Countdown.css';

const TICK_MS = 250;

export function Countdown({ untilMs, onNow }: { untilMs: number; onNow: () => void }) {
  const [nowMs, setNowMs] = useState(() => performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNowMs(performance.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, Math.ceil((untilMs - nowMs) / 1000));
  return (
    <span className="countdown">
      <span>
        {t.call.retryIn} <b aria-hidden>{seconds} s</b>
        <span className="unseen">{t.call.moment}</span>
      </span>
      <button type="button" className="small" onClick={onNow}>
        {t.call.now}
      </button>
    </span>
  );
}
