import { expect, test } from 'vitest';
import { invitationUrl, linkOf, mayInvite } from './link';

test('a link names a room, personas, and carries a guest’s pass in its fragment', () => {
  const link = linkOf({ search: '?room=kitchen&persona=chef,teacher&persona=astronaut', hash: '' });

  expect(link).toEqual({
    room: 'kitchen',
    personas: ['chef', 'teacher', 'astronaut'],
    guest: null,
  });
});

test('an invitation leads back to the same room and pass', () => {
  const { search, hash, origin } = new URL(
    invitationUrl('https://rooms.example/?room=old', 'a room', 'mrg_x.y-z'),
  );

  expect(origin).toBe('https://rooms.example');
  expect(linkOf({ search, hash })).toEqual({ room: 'a room', personas: [], guest: 'mrg_x.y-z' });
});

test('an address without anything asks for nothing', () => {
  expect(linkOf({ search: '', hash: '' })).toEqual({ room: null, personas: [], guest: null });
});

test.each([
  ['https://rooms.example', 'wss://rooms.example', true],
  ['https://localhost:8080', 'wss://127.0.0.1:7880', false],
  ['http://rooms.example', 'wss://rooms.example', false],
  ['https://rooms.example', 'ws://rooms.example', false],
  ['https://rooms.example', '', false],
])('from page %s into room %s one may invite: %s', (page, livekit, may) => {
  expect(mayInvite(page, livekit)).toBe(may);
});
