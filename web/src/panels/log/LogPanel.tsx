/** What happened, the newest first, as grave as one likes, with a search and the details. */

import { useState, useSyncExternalStore } from 'react';
import { journal, LEVELS, type Level, sifted } from '../../store/eventLog';
import { t } from '../../strings/strings';
import { LogLine } from './LogLine';
import './LogPanel.css';

export function LogPanel() {
  const happenings = useSyncExternalStore(journal.subscribe, journal.read);
  const [least, setLeast] = useState<Level>('info');
  const [search, setSearch] = useState('');
  const shown = sifted(happenings, least, search).toReversed();
  const words = t.panels.happenings;
  return (
    <div className="log">
      <div className="sieve">
        <select
          aria-label={words.grave}
          value={least}
          onChange={(event) => setLeast(event.target.value as Level)}
        >
          {LEVELS.map((level) => (
            <option key={level} value={level}>
              {words.levels[level]}
            </option>
          ))}
        </select>
        <input
          type="search"
          aria-label={words.searchLog}
          placeholder={words.search}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling box must be reached by keys */}
      <div className="lines" role="log" aria-label={words.lines} aria-live="off" tabIndex={0}>
        {shown.map((happening) => (
          <LogLine key={happening.id} happening={happening} />
        ))}
        {shown.length === 0 && <p className="soft empty">{words.none}</p>}
      </div>
    </div>
  );
}
