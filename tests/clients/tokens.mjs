// node tokens.mjs <address of the token service>: tokens that LiveKit's TokenSource fetches from it.
// Prints one JSON object: the payload of the token that each way of asking gave.

import { mock } from 'node:test';
import { decodeTokenPayload, TokenSource } from 'livekit-client';

const [service] = process.argv.slice(2);
const MINUTE_MS = 60_000;

async function fetched(source, options = {}, force = false) {
  const { serverUrl, participantToken } = await source.fetch(options, force);
  const { jti, sub, name, exp, nbf, video } = decodeTokenPayload(participantToken);
  return { serverUrl, id: jti, room: video.room, identity: sub, name, lifeS: exp - nbf };
}

/** Fetch with a clock that is so many minutes ahead. */
async function later(minutes, source) {
  mock.timers.enable({ apis: ['Date'], now: Date.now() + minutes * MINUTE_MS });
  try {
    return await fetched(source);
  } finally {
    mock.timers.reset();
  }
}

const endpoint = TokenSource.endpoint(`${service}/token`);
const asked = { roomName: 'kitchen', participantName: 'Ann', participantIdentity: 'ann' };
const wrong = () => fetched(TokenSource.endpoint(`${service}/token`), { agentName: 'nobody' });

console.log(
  JSON.stringify({
    first: await fetched(endpoint),
    again: await fetched(endpoint),
    beforeItRunsOut: await later(8.5, endpoint),
    whenItRunsOut: await later(9.5, endpoint),
    forced: await fetched(endpoint, {}, true),
    asked: await fetched(endpoint, asked),
    persona: await fetched(endpoint, { agentName: 'moshi', agentMetadata: '{"persona":"chef"}' }),
    development: await fetched(TokenSource.developmentTokenServer('any', { baseUrl: service })),
    sandbox: await fetched(TokenSource.sandboxTokenServer('any', { baseUrl: service })),
    refusal: await wrong().catch(String),
  }),
);
