/** Puts text where the person can paste it, and says for a moment that it did. */

import { useEffect, useState } from 'react';
import { journal } from '../../store/eventLog';
import { t } from '../../strings/strings';

const TOLD_MS = 2_000;

export function useCopy(): [boolean, (text: string) => void] {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), TOLD_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = (text: string) => {
    navigator.clipboard.writeText(text).then(
      () => setCopied(true),
      (error) =>
        journal.add('warning', 'page', t.panels.happenings.notCopied, { reason: String(error) }),
    );
  };
  return [copied, copy];
}
