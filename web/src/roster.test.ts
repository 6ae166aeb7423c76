import { ParticipantKind, type RemoteParticipant } from 'livekit-client';
import { expect, test } from 'vitest';
import { seatsOf, voiceState } from './roster';

const PERSONAS = [
  { id: '', name: 'chef', label: 'Chef', muted: false },
  { id: '', name: 'teacher', label: 'Teacher', muted: false },
];
const there = (
  identity: string,
  attributes: Record<string, string>,
  kind = ParticipantKind.AGENT,
) => ({ identity, name: `Name of ${identity}`, attributes, kind }) as unknown as RemoteParticipant;

test('personas keep the order in which they were asked for, whoever comes first', () => {
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
    key: '0 chef',
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

test('once ids are known, a persona is who has the id and not who has the name', () => {
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

test.each([
  ['initializing', 'warming'],
  ['listening', 'listening'],
  ['speaking', 'speaking'],
])('the agent state %s is shown as %s', (state, shown) => {
  expect(voiceState(there('agent-1', { 'lk.agent.state': state }))).toBe(shown);
});

test('a persona that is not there is awaited', () => {
  expect(voiceState(null)).toBe('awaited');
});
