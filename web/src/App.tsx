/** The page: the choice of voices, a link's door, or a call. */

import { useState } from 'react';
import { callPart, useCallPart } from './fetchCallPart';
import { Header } from './header/Header';
import { useConfig } from './service/useConfig';
import { isOver } from './session/state/phase';
import { linkOf } from './start/choice/link';
import { JoinScreen } from './start/JoinScreen';
import { StartScreen } from './start/StartScreen';
import { useFocus } from './ui/hooks/useFocus';
import { useMeantPresses } from './ui/hooks/useMeantPresses';
import { useColour } from './ui/theme/useColour';
import { useCall } from './useCall';

export function App() {
  const [link] = useState(() => linkOf(location));
  const { call, state, opening, trouble, start, again, leave } = useCall();
  const over = isOver(state.phase);
  const known = useConfig(over || state.phase === 'warming');

  useMeantPresses();
  useCallPart(known.config !== null);
  useColour(known.config?.page.colour ?? '');

  // A call that came to nothing leaves nothing to look at but its trouble.
  const inCall = call !== null && (!over || state.liveSinceMs !== null);
  const counting = state.retryAtMs !== null;
  useFocus(!inCall ? 'door' : over ? 'over' : counting ? 'countdown' : 'call');
  const CallScreen = callPart()?.CallScreen;
  const before = { known, trouble, opening, onStart: start };
  return (
    <>
      <Header
        call={call ? state : null}
        model={known.config?.model ?? null}
        logo={known.config?.page.logo ?? ''}
      />
      {inCall && CallScreen ? (
        <CallScreen call={call} state={state} known={known} onAgain={again} onBack={leave} />
      ) : link.room || link.guest ? (
        <JoinScreen {...before} link={link} />
      ) : (
        <StartScreen {...before} />
      )}
    </>
  );
}
