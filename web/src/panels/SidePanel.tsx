/** Beside the stage: the words, the figures, the log; one at a time, as tabs. */

import { type ComponentProps, type KeyboardEvent, useRef, useState } from 'react';
import { useDetails } from '../store/preferences';
import { t } from '../strings/strings';
import { LogPanel } from './log/LogPanel';
import { PerformancePanel } from './performance/PerformancePanel';
import './SidePanel.css';
import { TranscriptPanel } from './transcript/TranscriptPanel';

const TABS = ['transcript', 'performance', 'log'] as const;
type Tab = (typeof TABS)[number];

interface Props extends ComponentProps<typeof TranscriptPanel> {
  onClose: () => void;
}

export function SidePanel({ onClose, ...shown }: Props) {
  const { call, over } = shown;
  const [chosen, setTab] = useState<Tab>('transcript');
  const details = useDetails();
  const tab = details ? chosen : 'transcript';
  const list = useRef<HTMLDivElement>(null);

  const move = ({ key }: KeyboardEvent) => {
    const step = key === 'ArrowRight' ? 1 : key === 'ArrowLeft' ? -1 : 0;
    if (!step) return;
    const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length] ?? tab;
    setTab(next);
    list.current?.querySelector<HTMLElement>(`#tab-${next}`)?.focus();
  };

  const leave = ({ key, target }: KeyboardEvent) => {
    const writing = target instanceof HTMLInputElement && target.value !== '';
    if (key === 'Escape' && !over && !writing) onClose();
  };

  const words = <TranscriptPanel {...shown} />;
  const { performance, log } = t.panels;
  const labels = { transcript: t.transcript.title, performance, log };
  if (!details) {
    return (
      <section id="drawer" className="side" aria-label={t.transcript.title} onKeyDown={leave}>
        <div className="panel">{words}</div>
      </section>
    );
  }
  return (
    <section id="drawer" className="side" aria-label={t.panels.beside} onKeyDown={leave}>
      <div ref={list} className="tabs" role="tablist" onKeyDown={move} tabIndex={-1}>
        {TABS.map((each) => (
          <button
            key={each}
            type="button"
            role="tab"
            id={`tab-${each}`}
            aria-selected={each === tab}
            aria-controls="panel"
            tabIndex={each === tab ? 0 : -1}
            onClick={() => setTab(each)}
          >
            {labels[each]}
          </button>
        ))}
      </div>
      <div className="panel" role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`}>
        {tab === 'transcript' && words}
        {tab === 'performance' && <PerformancePanel call={call} over={over} />}
        {tab === 'log' && <LogPanel />}
      </div>
    </section>
  );
}
