/** The service's own figures, asked for while the panel is shown. */

import { useEffect, useState } from 'react';
import { poll } from '../../service/poll';
import { fetchStatus, type Status } from '../../service/service';

const EVERY_MS = 2_000;

/** `null` until the first answer, and where the page may not ask. */
export function useStatus(): Status | null {
  const [status, setStatus] = useState<Status | null>(null);
  useEffect(() => poll(fetchStatus, EVERY_MS, setStatus), []);
  return status;
}
