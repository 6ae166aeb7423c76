/** Keeps the service's configuration fresh while it is shown. */

import { useEffect, useState } from 'react';
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
    let timer: ReturnType<typeof setTimeout>;
    let over = false;
    const ask = async () => {
      const config = document.hidden ? undefined : await fetchConfig().catch(() => null);
      if (over) return;
      if (config !== undefined) {
        setKnown((last) => ({ config: config ?? last.config, reachable: config !== null }));
      }
      timer = setTimeout(ask, EVERY_MS);
    };
    ask();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [active]);
  return known;
}
