/** What a call alone needs, LiveKit's client above all. `fetchCallPart.ts` fetches it. */

import './ui/theme/theme.css'; // shared, so that it stays before what builds on it
import { overhear } from './session/connection/livekitLog';
import { journal } from './store/eventLog';

export { CallScreen } from './call/CallScreen';
export { Call } from './session/call';

overhear(journal);
