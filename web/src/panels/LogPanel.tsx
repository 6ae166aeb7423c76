/** What happened, the newest first, as grave as one likes, with a search and the details. */

import { useState, useSyncExternalStore } from 'react';
import { journal, LEVELS, type Level, sifted } from '../service/eventLog';
import { LogLine } from './LogLine';
import './LogPanel.css';

const NAMES: Record<Level, string> = { info: 'All', warning: 'Warnings', error: 'Errors' };

export function LogPanel() {
  const happenings = useSyncExternalStore(journal.subscribe, journal.read);
  const [least, setLeast] = useState<Level>('info');
  const [search, setSearch] = useState('');
  const shown = sifted(happenings, least, search).toReversed();
  return (
    <div className="log">
      <div className="sieve">
        <select
          aria-label="How grave"
          value={least}
          onChange={(event) => setLeast(event.target.value as Level)}
        >
          {LEVELS.map((level) => (
            <option key={level} value={level}>
              {NAMES[level]}
            </option>
          ))}
        </select>
        <input
          type="search"
          aria-label="Search the log"
          placeholder="Search"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling box must be reached by keys */}
      <div className="lines" role="log" aria-label="Log" aria-live="off" tabIndex={0}>
        {shown.map((happening) => (
          <LogLine key={happening.id} happening={happening} />
        ))}
        {shown.length === 0 && <p className="soft empty">Nothing of this kind.</p>}
      </div>
    </div>
  );
}
