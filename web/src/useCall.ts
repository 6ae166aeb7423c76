/** The page's call: none yet, one that begins, one that runs, or the last one. */

import { useState, useSyncExternalStore } from 'react';
import { callPart, fetchCallPart } from './fetchCallPart';
import type { Call } from './session/call';
import { soundContext } from './session/sound/meter';
import type { EntryRequest } from './session/state/entry';
import { BEGINNING, type CallState } from './session/state/phase';
import { type Trouble, troubleOf } from './session/state/trouble';
import { identity } from './store/identity';

const NO_CALL: CallState = { ...BEGINNING, phase: 'ended' };

const never = () => () => undefined;
const noCall = () => NO_CALL;

type Request = Omit<EntryRequest, 'identity'>;

export function useCall() {
  const [call, setCall] = useState<Call | null>(null);
  const [last, setLast] = useState<Request | null>(null);
  const [opening, setOpening] = useState(false);
  const [missing, setMissing] = useState<Trouble | null>(null);
  const state = useSyncExternalStore(call?.subscribe ?? never, call?.read ?? noCall);

  const begin = ({ Call }: NonNullable<ReturnType<typeof callPart>>, request: Request) => {
    const next = new Call({ ...request, identity: identity() });
    setLast(request);
    setCall(next);
    next.start();
  };
  const start = async (request: Request) => {
    setMissing(null);
    const there = callPart();
    if (there) return begin(there, request); // in the click itself
    soundContext(); // by a click alone the browser lets sound play
    setOpening(true);
    try {
      begin(await fetchCallPart(), request);
    } catch (error) {
      setMissing(troubleOf(error));
    }
    setOpening(false);
  };
  return {
    call,
    state,
    /** Whether a call was asked for and waits for its part of the page. */
    opening,
    trouble: missing ?? state.trouble,
    start,
    again: () => last && start(last),
    leave: () => setCall(null),
  };
}
