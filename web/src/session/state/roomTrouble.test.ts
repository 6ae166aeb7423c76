import { ConnectionError, DisconnectReason } from 'livekit-client';
import { beforeEach, expect, test, vi } from 'vitest';
import { departureTrouble, roomTrouble } from './roomTrouble';

beforeEach(() => {
  vi.stubGlobal('location', { protocol: 'http:' });
});

test.each([
  ['could not establish pc connection', 'Sound cannot get through'],
  ['could not establish signal connection', 'The room cannot be reached'],
  ['service not found', 'The room cannot be reached'],
])('LiveKit’s “%s” is shown as “%s”', (message, title) => {
  const trouble = roomTrouble(ConnectionError.internal(message), 'ws://rooms.example');

  expect(trouble.title).toBe(title);
});

test('sound that does not reach this machine itself is no trouble of the network', () => {
  const noPath = ConnectionError.internal('could not establish pc connection');
  const trouble = roomTrouble(noPath, 'ws://127.0.0.1:7880');

  expect([trouble.title, trouble.why]).toEqual([
    'Sound cannot get through',
    'The room was reached on this machine, but no voice: Firefox and some others send none to 127.0.0.1.',
  ]);
});

test('a room that cannot be reached is shown with its address', () => {
  const trouble = roomTrouble(ConnectionError.timeout('timed out'), 'ws://rooms.example');

  expect(trouble.why).toBe('The page is here, but ws://rooms.example does not answer.');
});

test('a room without TLS under a page with TLS is shown as insecure', () => {
  vi.stubGlobal('location', { protocol: 'https:' });
  const trouble = roomTrouble(new DOMException('', 'SecurityError'), 'ws://rooms.example');

  expect(trouble.title).toBe('The room is not secure');
});

test('a room that was closed is shown as disconnected', () => {
  const trouble = departureTrouble(DisconnectReason.ROOM_DELETED);

  expect([trouble.kind, trouble.title]).toEqual(['disconnected', 'The room was closed']);
});
