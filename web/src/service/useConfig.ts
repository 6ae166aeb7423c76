/** Keeps the service's configuration fresh while it is shown. */

import { useEffect, useState } from 'react';
import { poll } from './poll';
import { type Config, fetchConfig } from './service';

const EVERY_MS = 2_000;

export interface Known {
  /** The newest answer; stays when the service stops answering. */
  config: Config | null;
  /** False once a question went unanswered, until the next answer. */
  reachable: boolean;
}

/** Ask at once and then every two seconds, as long as `active` and the tab is seen. */
export function useConfig(active: boolean): Known {
  const [known, setKnown] = useState<Known>({ config: null, reachable: true });
  useEffect(() => {
    if (!active) return;
    return poll(fetchConfig, EVERY_MS, (config) =>
      setKnown((last) => ({ config: config ?? last.config, reachable: config !== null })),
    );
  }, [active]);
  return known;
}
