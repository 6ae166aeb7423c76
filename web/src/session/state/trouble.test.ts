import { expect, test } from 'vitest';
import { Refused } from '../../service/request';
import {
  InsecurePage,
  MicrophoneFailed,
  NoWebRtc,
  PageIncomplete,
  RoomFailed,
  troubleOf,
  unreachable,
} from './trouble';

const FULL = 'All places are taken at the moment. Try again soon.';

test('a full service is shown as full, once and in the page’s own sentence', () => {
  const trouble = troubleOf(new Refused(503, 'full', FULL));

  expect([trouble.kind, trouble.why]).toEqual(['full', 'Others are talking at the moment.']);
});

test('a model that is busy is not told as full, and takes one in turn', () => {
  const trouble = troubleOf(new Refused(503, 'too_slow', 'Busy.'));

  expect([trouble.kind, trouble.title]).toEqual(['full', 'The model is busy']);
});

test('a request for more voices than there are places says to pick fewer', () => {
  const trouble = troubleOf(new Refused(503, 'too_many_personas', 'Seven.'));

  expect(trouble.todo).toBe('Choose fewer voices.');
});

test.each([
  ['NotAllowedError', 'Your browser or system blocked the microphone'],
  ['NotFoundError', 'No microphone found'],
  ['NotReadableError', 'The microphone is in use'],
  ['InvalidStateError', 'The microphone failed'],
])('the browser’s %s is shown as “%s”', (name, title) => {
  expect(troubleOf(new MicrophoneFailed(new DOMException('', name))).title).toBe(title);
});

test('a page without https says how to open it', () => {
  expect(troubleOf(new InsecurePage()).todo).toContain('https://');
});

test('a browser without WebRTC is told to be the reason', () => {
  expect(troubleOf(new NoWebRtc()).todo).toContain('another one');
});

test.each([
  [401, 'unauthorized', 'This server does not know you'],
  [400, 'invalid_input', 'One of your choices cannot be used'],
  [429, 'too_many_requests', 'Too many tries'],
  [503, 'no_worker', 'No voice can answer yet'],
  [503, 'room_full', 'The room is full'],
  [500, 'failure', 'The server refused'],
])('the service’s %i %s is shown as “%s”', (status, code, title) => {
  expect(troubleOf(new Refused(status, code, 'Why.')).title).toBe(title);
});

test.each([
  ['AUTH_MODE=loopback lets in only who calls localhost from this machine itself.', 'itself'],
  ['Authorization: expected a bearer (AUTH_MODE=loopback,jwt).', 'itself'],
  [
    'Authorization: expected a bearer (AUTH_MODE=api_keys).',
    'ask the operator of this server for a link',
  ],
  ['Authorization: invalid or expired token.', 'a new link'],
])('“%s” of authentication is shown with the advice that helps', (why, advice) => {
  expect(troubleOf(new Refused(401, 'unauthorized', why)).todo).toContain(advice);
});

test('a room name that is refused came by a link', () => {
  const long = new Refused(400, 'invalid_input', 'room_name: expected at most 256 bytes');

  expect(troubleOf(long).title).toBe('This link no longer works');
});

test('a request that times out is shown as a server that does not answer', () => {
  const timeout = new DOMException('', 'TimeoutError');

  expect(troubleOf(timeout).title).toBe('The server does not answer');
});

test('a failed fetch is shown as a server that does not answer', () => {
  expect(troubleOf(new TypeError('Failed to fetch')).title).toBe('The server does not answer');
});

test('a part of the page that is missing is told, with how to get it', () => {
  expect(troubleOf(new PageIncomplete()).todo).toContain('reload');
});

test('a room that failed is told in its own words', () => {
  const trouble = unreachable();

  expect(troubleOf(new RoomFailed(trouble))).toBe(trouble);
});
