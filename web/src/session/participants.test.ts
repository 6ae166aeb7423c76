import { ConnectionState, ParticipantKind, type RemoteParticipant } from 'livekit-client';
import { expect, test } from 'vitest';
import { isLast, personasAfter, seatsOf, tellsOfNewcomer, voiceState } from './participants';

const PERSONAS = [
  { id: '', name: 'chef', label: 'Chef', muted: false },
  { id: '', name: 'teacher', label: 'Teacher', muted: false },
];
const there = (
  identity: string,
  attributes: Record<string, string>,
  kind = ParticipantKind.AGENT,
) => ({ identity, name: `Name of ${identity}`, attributes, kind }) as unknown as RemoteParticipant;

test('personas keep the order in which they were asked for, whichever joins first', () => {
  const seats = seatsOf(PERSONAS, [
    there('agent-teacher-1', { persona: 'teacher' }),
    there('agent-chef-1', { persona: 'chef' }),
  ]);

  expect(seats.map(({ participant }) => participant?.identity)).toEqual([
    'agent-chef-1',
    'agent-teacher-1',
  ]);
});

test('a persona that has not come yet has its seat already', () => {
  const [seat] = seatsOf(PERSONAS, []);

  expect(seat).toEqual({
    key: 'chef 0',
    label: 'Chef',
    persona: 'chef',
    personaId: '',
    participant: null,
  });
});

test('the same persona asked for twice has two seats and fills both', () => {
  const [chef] = PERSONAS;
  const twins = [
    there('agent-chef-1', { persona: 'chef' }),
    there('agent-chef-2', { persona: 'chef' }),
  ];
  const seats = seatsOf(chef ? [chef, chef] : [], twins);

  expect(seats.map(({ participant }) => participant?.identity)).toEqual([
    'agent-chef-1',
    'agent-chef-2',
  ]);
});

test('while a persona moves to another worker, it has one seat, and that of the new one at once', () => {
  const expected = [{ id: 'p1', name: 'chef', label: 'Chef', muted: false }];
  const of = (generation: string) => ({ persona: 'chef', persona_id: 'p1', generation });
  const old = there('agent-chef-old', of('1'));
  const identities = (...inside: RemoteParticipant[]) =>
    seatsOf(expected, inside).map(({ participant }) => participant?.identity);
  const standby = there('agent-chef-new', { ...of('2'), 'lk.publish_on_behalf': 'p1' });
  const forged = there('a guest', of('3'), ParticipantKind.STANDARD);

  expect(identities(old, standby)).toEqual(['agent-chef-old']);
  expect(identities(old, there('agent-chef-new', of('2')))).toEqual(['agent-chef-new']);
  expect(identities(old, forged)).toEqual(['agent-chef-old', 'a guest']);
});

test('once ids are known, a persona is found by its id and not by its name', () => {
  const expected = [{ id: 'p2', name: 'chef', label: 'Chef', muted: false }];
  const seats = seatsOf(expected, [
    there('agent-chef-1', { persona: 'chef', persona_id: 'p1' }),
    there('agent-chef-2', { persona: 'chef', persona_id: 'p2' }),
  ]);

  expect(seats.map(({ participant }) => participant?.identity)).toEqual([
    'agent-chef-2',
    'agent-chef-1',
  ]);
});

test('a connection that is only another one’s ears has no seat', () => {
  const ears = there('agent-chef-1', { persona: 'chef', 'lk.publish_on_behalf': 'agent-2' });

  expect(seatsOf([], [ears])).toEqual([]);
});

test('another person gets a seat after the personas, under their own name', () => {
  const person = there('ann', { persona: 'chef' }, ParticipantKind.STANDARD);
  const last = seatsOf(PERSONAS, [person]).at(-1);

  expect([last?.label, last?.persona, last?.participant]).toEqual(['Name of ann', '', person]);
});

const roomOf = (...inside: RemoteParticipant[]) => ({
  state: ConnectionState.Connected,
  remoteParticipants: new Map(inside.map((each) => [each.identity, each])),
});
const CHEF = there('agent-chef-1', { persona: 'chef' });
const ANN = there('ann', {}, ParticipantKind.STANDARD);

test('a person with voices alone is the last person', () => {
  expect([roomOf(), roomOf(CHEF), roomOf(CHEF, ANN)].map(isLast)).toEqual([true, true, false]);
});

test.each([
  ConnectionState.Disconnected,
  ConnectionState.Connecting,
  ConnectionState.Reconnecting,
  ConnectionState.SignalReconnecting,
])('a person who sees nobody because the connection is %s is not the last person', (state) => {
  expect(isLast({ ...roomOf(), state })).toBe(false);
});

test('a persona that another person mutes is shown as muted, until it is unmuted', () => {
  const personas = PERSONAS.map((each) => ({ ...each, id: each.name }));
  const event = { type: 'changed', at_s: 0, persona_id: 'chef' };
  const muted = personasAfter({ ...event, change: 'muted' }, personas);
  const unmuted = personasAfter({ ...event, change: 'unmuted' }, muted);

  expect(muted.map(({ muted }) => muted)).toEqual([true, false]);
  expect(unmuted).toEqual(personas);
});

test('a persona that is sent away loses its seat, and the others keep theirs', () => {
  const personas = PERSONAS.map((each) => ({ ...each, id: each.name }));
  const event = { type: 'changed', at_s: 0, change: 'removed', persona_id: 'chef' };
  const left = personasAfter(event, personas);

  expect(left.map(({ name }) => name)).toEqual(['teacher']);
  expect(seatsOf(left, [])[0]?.key).toBe(seatsOf(personas, [])[1]?.key);
});

test('a persona that is added is a newcomer as long as it is not known', () => {
  const personas = PERSONAS.map((each) => ({ ...each, id: each.name }));
  const event = { type: 'changed', at_s: 0, change: 'added', persona_id: 'astronaut' };

  expect(tellsOfNewcomer(event, personas)).toBe(true);
  expect(tellsOfNewcomer({ ...event, persona_id: 'chef' }, personas)).toBe(false);
  expect(tellsOfNewcomer({ ...event, change: 'removed' }, personas)).toBe(false);
});

test.each([
  { type: 'changed', at_s: 0, change: 'say', persona_id: 'chef' },
  { type: 'turn', at_s: 0, persona_id: 'chef' },
])('%j leaves the personas as they are', (event) => {
  expect(personasAfter(event, PERSONAS)).toBe(PERSONAS);
});

test.each([
  ['initializing', 'warming'],
  ['listening', 'listening'],
  ['speaking', 'speaking'],
])('the agent state %s is shown as %s', (state, shown) => {
  expect(voiceState(there('agent-1', { 'lk.agent.state': state }))).toBe(shown);
});

test('a person whose name is blank is shown by its identity', () => {
  const nameless = { ...there('ann-1', {}, ParticipantKind.STANDARD), name: ' ' };
  expect(seatsOf([], [nameless as RemoteParticipant]).map(({ label }) => label)).toEqual(['ann-1']);
});

test('a persona that is not there is awaited', () => {
  expect(voiceState(null)).toBe('awaited');
});
