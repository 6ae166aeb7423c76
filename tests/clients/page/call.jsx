// A call with LiveKit's own hooks, unmodified; their values are kept in `window.seen`.
// Options in the URL: ?endpoint=<token endpoint>&agentName=…&agentMetadata=…
// &preConnect=yes records speech before an agent is there, and logs whether it was sent.

import {
  RoomAudioRenderer,
  SessionProvider,
  useAgent,
  useRemoteParticipants,
  useSession,
  useSessionMessages,
  useTranscriptions,
  useVoiceAssistant,
} from '@livekit/components-react';
import { Room, setLogLevel, TokenSource } from 'livekit-client';
import { createRoot } from 'react-dom/client';

const { endpoint, preConnect, ...options } = Object.fromEntries(new URLSearchParams(location.search));
if (preConnect) {
  setLogLevel('debug');
  // livekit-client 2.23.0 reads this of the room's options alone, not of useSession's own.
  options.room = new Room({ publishDefaults: { preConnectBuffer: true } });
}
const tokenSource = TokenSource.endpoint(endpoint);

const seen = {
  connection: [], // of the session: {state, atMs}
  agent: [], // useAgent
  assistant: [], // useVoiceAssistant
  failures: [],
  transcriptions: [], // useTranscriptions, as it is now
  packets: [], // useVoiceAssistant's agentTranscriptions, as they are now
  messages: [], // useSessionMessages, as they are now
  agents: [], // identities of all agents, as they are now
};
window.seen = seen;

function note(states, state) {
  if (states.at(-1)?.state !== state) states.push({ state, atMs: performance.now() });
}

function plainStream({ text, participantInfo, streamInfo }) {
  return { text, identity: participantInfo.identity, attributes: streamInfo.attributes };
}

function Watch({ session }) {
  const agent = useAgent();
  const assistant = useVoiceAssistant();
  const { messages } = useSessionMessages();
  note(seen.connection, session.connectionState);
  note(seen.agent, agent.state);
  note(seen.assistant, assistant.state);
  seen.failures.push(...(agent.failureReasons ?? []));
  seen.transcriptions = useTranscriptions().map(plainStream);
  seen.packets = assistant.agentTranscriptions.map(({ id, text, final }) => ({ id, text, final }));
  seen.messages = messages.map(({ type, message, from }) => [type, message, from?.identity]);
  seen.agents = useRemoteParticipants()
    .filter((each) => each.isAgent)
    .map((each) => each.identity);
  seen.canListen = agent.canListen;
  seen.microphone = agent.microphoneTrack?.publication.trackSid;
  return null;
}

function Call() {
  const session = useSession(tokenSource, options);
  window.session = session;
  return (
    <SessionProvider session={session}>
      <Watch session={session} />
      <RoomAudioRenderer />
    </SessionProvider>
  );
}

createRoot(document.getElementById('root')).render(<Call />);
