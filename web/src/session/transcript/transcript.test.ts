import { type Room, RoomEvent } from 'livekit-client';
import { expect, test } from 'vitest';
import { ATTR_SEGMENT_FINAL, ATTR_SEGMENT_ID, TRANSCRIPTION_TOPIC } from '../../service/wire';
import { isSame, type Segment, Transcript, turnsOf } from './transcript';

const said = (
  id: string,
  identity: string,
  text: string,
  more: Partial<Segment> = {},
): Segment => ({
  id,
  identity,
  label: identity.toUpperCase(),
  persona: identity,
  text,
  final: true,
  typed: false,
  startMs: 0,
  endMs: 0,
  ...more,
});

test('a segment that is put again replaces itself and keeps its place', () => {
  const transcript = new Transcript();
  transcript.put(said('1', 'a', 'hel', { final: false }));
  transcript.put(said('2', 'b', 'hi'));
  transcript.put(said('1', 'a', 'hello'));

  expect(transcript.read().map(({ text }) => text)).toEqual(['hello', 'hi']);
});

test('words that come late go where they were said, and can be replaced there', () => {
  const transcript = new Transcript();
  transcript.put(said('1', 'a', 'hello', { startMs: 1_000 }));
  transcript.put(said('2', 'b', 'nine', { startMs: 4_000 }));
  transcript.put(said('3', 'me', 'when', { startMs: 2_000, final: false }));
  transcript.put(said('2', 'b', 'nine o’clock', { startMs: 4_000 }));
  transcript.put(said('3', 'me', 'when?', { startMs: 2_000 }));

  expect(transcript.read().map(({ text }) => text)).toEqual(['hello', 'when?', 'nine o’clock']);
});

test('every change gives a new list and tells its listeners', () => {
  const transcript = new Transcript();
  let told = 0;
  const leave = transcript.subscribe(() => told++);
  const before = transcript.read();
  transcript.put(said('1', 'a', 'x'));
  leave();
  transcript.put(said('2', 'a', 'y'));

  expect(transcript.read()).not.toBe(before);
  expect(told).toBe(1);
});

test('consecutive segments of one speaker are one turn', () => {
  const turns = turnsOf([said('1', 'a', 'x'), said('2', 'a', 'y'), said('3', 'b', 'z')]);

  expect(turns.map(({ identity, segments }) => [identity, segments.length])).toEqual([
    ['a', 2],
    ['b', 1],
  ]);
});

test('a long pause begins a new turn', () => {
  const turns = turnsOf([
    said('1', 'a', 'x', { endMs: 1_000 }),
    said('2', 'a', 'y', { startMs: 2_000, endMs: 3_000 }),
    said('3', 'a', 'z', { startMs: 9_000 }),
  ]);

  expect(turns.map(({ segments }) => segments.length)).toEqual([2, 1]);
});

test('what is typed stands apart from what is said', () => {
  const turns = turnsOf([said('1', 'a', 'x'), said('2', 'a', 'y', { typed: true })]);

  expect(turns.map(({ typed }) => typed)).toEqual([false, true]);
});

test('a quiet line stands alone, between the words before and after it', () => {
  const turns = turnsOf([
    said('1', 'a', 'x'),
    said('2', 'a', 'n', { note: true }),
    said('3', 'a', 'y'),
  ]);

  expect(turns.map(({ note }) => note)).toEqual([false, true, false]);
});

test('a turn that never pauses is cut, so that a word more costs no more with time', () => {
  const lines = Array.from({ length: 100 }, (_, n) => said(`${n}`, 'a', 'x'));

  expect(turnsOf(lines).map(({ segments }) => segments.length)).toEqual([40, 40, 20]);
});

test('a turn looks the same until one of its segments is replaced', () => {
  const [one, two] = [said('1', 'a', 'x'), said('2', 'a', 'y')];
  const [before, after] = [turnsOf([one, two]), turnsOf([one, two])];
  const changed = turnsOf([one, { ...two, text: 'z' }]);
  const [turn] = before;
  if (!turn || !after[0] || !changed[0]) throw new Error('no turn');

  expect([isSame(turn, after[0]), isSame(turn, changed[0])]).toEqual([true, false]);
});

test('between two changes the list is the same one', () => {
  const transcript = new Transcript();
  transcript.put(said('1', 'a', 'x'));

  expect(transcript.read()).toBe(transcript.read());
});

test('the oldest of very many segments go', () => {
  const transcript = new Transcript();
  for (let n = 0; n <= 20_000; n++) transcript.put(said(`${n}`, 'a', `${n}`));
  transcript.put(said('20000', 'a', 'again'));
  const kept = transcript.read();

  expect([kept.length, kept[0]?.text, kept.at(-1)?.text]).toEqual([10_001, '10000', 'again']);
});

/** A room whose participants are named as their identities, and what sends it a text stream. */
function roomOf(transcript: Transcript) {
  const listeners = new Map<string, (who?: object) => void>();
  const here = (identity: string) => ({
    identity,
    name: identity.toUpperCase(),
    attributes: {},
    isAgent: identity.startsWith('agent'),
  });
  const gone = new Set<string>();
  type Hear = (reader: unknown, from: { identity: string }) => void;
  const handlers = new Map<string, Hear>();
  transcript.listen({
    registerTextStreamHandler: (topic: string, hear: Hear) => handlers.set(topic, hear),
    on: (event: string, listener: () => void) => listeners.set(event, listener),
    getParticipantByIdentity: (identity: string) =>
      gone.has(identity) ? undefined : here(identity),
  } as unknown as Room);
  const leaves = (identity: string) => {
    gone.add(identity);
    listeners.get(RoomEvent.ParticipantDisconnected)?.(here(identity));
  };
  const breaks = () => listeners.get(RoomEvent.Disconnected)?.();
  const send = async (identity: string, id: string, text: string, final = 'true') => {
    const attributes = { [ATTR_SEGMENT_ID]: id, [ATTR_SEGMENT_FINAL]: final };
    const info = { id: 'stream', attributes };
    const reader = Object.assign(
      (async function* () {
        yield text;
      })(),
      { info },
    );
    handlers.get(TRANSCRIPTION_TOPIC)?.(reader, { identity });
    await new Promise((done) => setTimeout(done));
  };
  return { send, leaves, breaks };
}

test('the last words of somebody who has left have their name', async () => {
  const transcript = new Transcript();
  const { send, leaves } = roomOf(transcript);
  leaves('ann');
  await send('ann', '1', 'Goodbye.');

  expect(transcript.read().map(({ label, text }) => [label, text])).toEqual([['ANN', 'Goodbye.']]);
});

test('nobody replaces the words of another', async () => {
  const transcript = new Transcript();
  const { send } = roomOf(transcript);
  await send('chef', '1', 'It costs');
  await send('chef', '1', 'It costs two.');
  await send('mallory', '1', 'It is free.');

  expect(transcript.read().map(({ identity, text }) => [identity, text])).toEqual([
    ['chef', 'It costs two.'],
  ]);
});

test.each(['agent', 'connection'])(
  'a sentence that is not in its last form stays as it is once the %s is lost',
  async (lost) => {
    const transcript = new Transcript();
    const { send, leaves, breaks } = roomOf(transcript);
    await send('ann', '1', 'What could I', 'false');
    leaves('bea'); // a person, who wrote none of it
    const before = transcript.read().map(({ final }) => final);
    if (lost === 'agent') leaves('agent-1');
    else breaks();

    expect(before).toEqual([false]);
    expect(transcript.read().map(({ text, final }) => [text, final])).toEqual([
      ['What could I', true],
    ]);
  },
);

test('each sentence is once among the latest, in the order in which they were over', () => {
  const transcript = new Transcript();
  transcript.put(said('1', 'chef', 'Onions.', { startMs: 2_000 }));
  transcript.put(said('2', 'me', 'what', { startMs: 1_000, final: false }));
  transcript.put(said('2', 'me', 'What?', { startMs: 1_000 }));
  transcript.put(said('1', 'chef', 'Onions.', { startMs: 2_000 }));
  transcript.put(said('3', 'chef', 'looks up', { note: true }));

  expect(transcript.readLatest().map(({ text }) => text)).toEqual(['Onions.', 'What?']);
});
