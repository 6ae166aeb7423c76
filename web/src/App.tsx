/** The page: the choice of voices, a link's door, or a call. */

import { useState, useSyncExternalStore } from 'react';
import { CallScreen } from './CallScreen';
import { Call } from './call';
import type { Wish } from './entry';
import { Header } from './Header';
import { identity } from './identity';
import { JoinScreen } from './JoinScreen';
import { linkOf } from './link';
import { BEGINNING, type CallState, isOver } from './phase';
import { StartScreen } from './StartScreen';
import { useConfig } from './useConfig';
import { useFocus } from './useFocus';

const NO_CALL: CallState = { ...BEGINNING, phase: 'ended' };

const never = () => () => undefined;
const noCall = () => NO_CALL;

export function App() {
  const [link] = useState(() => linkOf(location));
  const [call, setCall] = useState<Call | null>(null);
  const [last, setLast] = useState<Omit<Wish, 'identity'> | null>(null);
  const state = useSyncExternalStore(call?.subscribe ?? never, call?.read ?? noCall);
  const over = isOver(state.phase);
  const known = useConfig(over || state.phase === 'warming');

  const start = (wish: Omit<Wish, 'identity'>) => {
    const next = new Call({ ...wish, identity: identity() });
    setLast(wish);
    setCall(next);
    next.start();
  };

  // A call that came to nothing leaves nothing to look at but its trouble.
  const inCall = call !== null && (!over || state.liveSinceMs !== null);
  const counting = state.retryAtMs !== null;
  useFocus(!inCall ? 'door' : over ? 'over' : counting ? 'countdown' : 'call');
  const before = { known, trouble: state.trouble, onStart: start };
  return (
    <>
      <Header call={call ? state : null} model={known.config?.model ?? null} />
      {inCall ? (
        <CallScreen
          call={call}
          state={state}
          known={known}
          onAgain={() => last && start(last)}
          onBack={() => setCall(null)}
        />
      ) : link.room || link.guest ? (
        <JoinScreen {...before} link={link} />
      ) : (
        <StartScreen {...before} />
      )}
    </>
  );
}
