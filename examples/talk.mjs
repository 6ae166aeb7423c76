// Ask a persona something from a WAV file, write what it says to another.
//
// npm install @livekit/rtc-node@1.1.0
// node examples/talk.mjs http://localhost:8080/token question.wav answer.wav chef

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import * as rtc from '@livekit/rtc-node';

const [endpoint, question, answer, persona = 'assistant', seconds = '10'] = process.argv.slice(2);
const RATE_HZ = 24_000;

if (!answer) {
  console.error('usage: node talk.mjs <token endpoint> <question.wav> <answer.wav> [persona] [seconds]');
  process.exit(2);
}

/** LiveKit's standard token request. */
async function ask() {
  const agent = { agent_name: 'moshi', metadata: JSON.stringify({ persona }) };
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ room_config: { agents: [agent] } }),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

/** Rate and samples of a mono WAV file of 16 bits. */
function readWav(path) {
  const wav = readFileSync(path);
  const pcm = new Uint8Array(wav.subarray(wav.indexOf('data') + 8));
  return { rateHz: wav.readUInt32LE(24), pcm: new Int16Array(pcm.buffer) };
}

/** The beginning of such a file. */
function wavHeader(bytes) {
  const header = Buffer.from('RIFF____WAVEfmt ____________________data____');
  const format = [16, 0x10001, RATE_HZ, 2 * RATE_HZ, 0x100002]; // PCM, one channel, 16 bits
  format.forEach((word, place) => header.writeUInt32LE(word, 16 + 4 * place));
  header.writeUInt32LE(36 + bytes, 4);
  header.writeUInt32LE(bytes, 40);
  return header;
}

const room = new rtc.Room();
const heard = openSync(answer, 'w');
let bytes = 0;
writeSync(heard, wavHeader(bytes));

let arrive;
const there = new Promise((resolve) => { arrive = resolve; });
function see({ 'lk.agent.state': state }) {
  if (state) console.log(`(${state})`);
  if (['listening', 'speaking'].includes(state)) arrive();
}
room.on(rtc.RoomEvent.ParticipantAttributesChanged, see);
room.on(rtc.RoomEvent.ParticipantConnected, (other) => see(other.attributes));
room.on(rtc.RoomEvent.TrackSubscribed, async (track) => {
  for await (const frame of new rtc.AudioStream(track, RATE_HZ, 1)) {
    bytes += writeSync(heard, new Uint8Array(frame.data.buffer));
  }
});
room.registerTextStreamHandler('lk.transcription', (words, { identity }) => {
  if (identity === room.localParticipant.identity) return; // what is recognized of our own question
  words.readAll().then(console.log, () => {}); // one that breaks off with the call is left out
});

const { server_url, participant_token } = await ask();
await room.connect(server_url, participant_token);
for (const other of room.remoteParticipants.values()) see(other.attributes); // there before us
const { rateHz, pcm } = readWav(question);
const mouth = new rtc.AudioSource(rateHz, 1);
const track = rtc.LocalAudioTrack.createAudioTrack('mouth', mouth);
const options = new rtc.TrackPublishOptions({ source: rtc.TrackSource.SOURCE_MICROPHONE });
await room.localParticipant.publishTrack(track, options);

await there;
for (let at = 0; at < pcm.length; at += rateHz / 50) {
  const chunk = pcm.slice(at, at + rateHz / 50);
  await mouth.captureFrame(new rtc.AudioFrame(chunk, rateHz, 1, chunk.length));
}
await wait(1000 * Number(seconds));
await room.disconnect();
writeSync(heard, wavHeader(bytes), 0, 44, 0);
closeSync(heard);
await rtc.dispose();
