/** The page: the choice of voices, a link's door, or a call. */

import { useState, useSyncExternalStore } from 'react';
import { CallScreen } from './call/CallScreen';
import { Header } from './header/Header';
import { useConfig } from './service/useConfig';
import { Call } from './session/call';
import type { EntryRequest } from './session/state/entry';
import { BEGINNING, type CallState, isOver } from './session/state/phase';
import { linkOf } from './start/choice/link';
import { JoinScreen } from './start/JoinScreen';
import { StartScreen } from './start/StartScreen';
import { identity } from './store/identity';
import { useFocus } from './ui/hooks/useFocus';
import { useMeantPresses } from './ui/hooks/useMeantPresses';
import { useColour } from './ui/theme/useColour';

const NO_CALL: CallState = { ...BEGINNING, phase: 'ended' };

const never = () => () => undefined;
const noCall = () => NO_CALL;

export function App() {
  const [link] = useState(() => linkOf(location));
  const [call, setCall] = useState<Call | null>(null);
  const [last, setLast] = useState<Omit<EntryRequest, 'identity'> | null>(null);
  const state = useSyncExternalStore(call?.subscribe ?? never, call?.read ?? noCall);
  const over = isOver(state.phase);
  const known = useConfig(over || state.phase === 'warming');

  useMeantPresses();
  useColour(known.config?.page.colour ?? '');

  const start = (request: Omit<EntryRequest, 'identity'>) => {
    const next = new Call({ ...request, identity: identity() });
    setLast(request);
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
      <Header
        call={call ? state : null}
        model={known.config?.model ?? null}
        logo={known.config?.page.logo ?? ''}
      />
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
