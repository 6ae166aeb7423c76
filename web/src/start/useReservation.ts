/** Whether the room that a link leads to has its place already, however full the service is. */

import { useEffect, useState } from 'react';
import { sessionOf } from '../service/sessions';
import type { Known } from '../service/useConfig';
import type { Link } from './choice/link';

/** True for a guest's room. Else the room's session is asked for while the service is full. */
export function usePlaced({ room, guest }: Link, known: Known): boolean {
  const [placed, setPlaced] = useState(false);
  useEffect(() => {
    if (guest || !room || !known.config || known.config.ready) return;
    let over = false;
    sessionOf(room)
      .then((found) => over || setPlaced(found !== null && found.state !== 'waiting'))
      .catch(() => undefined); // a person who may not read sessions waits in line
    return () => {
      over = true;
    };
  }, [room, guest, known]);
  return guest !== null || placed;
}
