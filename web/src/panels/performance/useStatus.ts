/** The service's own figures, asked for while the panel is shown. */

import { useEffect, useState } from 'react';
import { fetchStatus, type Status } from '../../service/service';

const EVERY_MS = 2_000;

/** `null` until the first answer, and where the page may not ask. */
export function useStatus(): Status | null {
  const [status, setStatus] = useState<Status | null>(null);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let over = false;
    const ask = async () => {
      const found = await fetchStatus().catch(() => null);
      if (over) return;
      setStatus(found);
      timer = setTimeout(ask, EVERY_MS);
    };
    ask();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, []);
  return status;
}
