/** Puts text where the person can paste it; the button says for a moment whether that went well. */

import { useEffect, useState } from 'react';
import { journal } from '../../store/eventLog';
import { t } from '../../strings/strings';

const TOLD_MS = 2_000;

/** The button's word, `usual` until it is pressed, and what a press does. */
export function useCopy(usual: string): [string, (text: string) => Promise<void>] {
  const [told, setTold] = useState('');
  useEffect(() => {
    if (!told) return;
    const timer = setTimeout(() => setTold(''), TOLD_MS);
    return () => clearTimeout(timer);
  }, [told]);
  const copy = async (text: string) => {
    try {
      await navigator.clipboard.writeText(text);
      setTold(t.transcript.copied);
    } catch (error) {
      const { notCopied } = t.panels.happenings;
      setTold(notCopied);
      journal.add('warning', 'page', notCopied, { reason: String(error) });
    }
  };
  return [told || usual, copy];
}
