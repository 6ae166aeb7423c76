import { beforeEach, expect, test, vi } from 'vitest';
import type { SessionEvent } from './eventText';
import { follow } from './sessionEvents';

class Stream extends EventTarget {
  static readonly CLOSED = 2;
  readyState = 1;
  onerror: () => void = () => undefined;

  constructor() {
    super();
    opened.push(this);
  }

  close() {
    this.readyState = Stream.CLOSED;
  }

  tell(lastEventId: string, event: Partial<SessionEvent>) {
    const data = JSON.stringify(event);
    this.dispatchEvent(new MessageEvent(event.type ?? '', { data, lastEventId }));
  }

  breaks(readyState: number) {
    this.readyState = readyState;
    this.onerror();
  }
}

let opened: Stream[] = [];
let changes: unknown[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('EventSource', Stream);
  opened = [];
  changes = [];
});

const followed = () => follow('s1', ({ change }) => changes.push(change));

test('a stream that was refused is opened again after a while', () => {
  followed();
  opened[0]?.breaks(Stream.CLOSED);
  vi.advanceTimersByTime(10_000);

  expect(opened.length).toBe(2);
});

test('a stream that broke is left to the browser', () => {
  followed();
  opened[0]?.breaks(0);
  vi.advanceTimersByTime(10_000);

  expect(opened.length).toBe(1);
});

test('after the end of following no stream is opened', () => {
  const stop = followed();
  opened[0]?.breaks(Stream.CLOSED);
  stop();
  vi.advanceTimersByTime(10_000);

  expect(opened.map(({ readyState }) => readyState)).toEqual([Stream.CLOSED]);
});

test('events that were delivered before a stream was opened again are not delivered again', () => {
  followed();
  opened[0]?.tell('1700000000000-9', { type: 'changed', change: 'muted' });
  opened[0]?.breaks(Stream.CLOSED);
  vi.advanceTimersByTime(10_000);
  opened[1]?.tell('1700000000000-9', { type: 'changed', change: 'muted' });
  opened[1]?.tell('1700000000000-10', { type: 'changed', change: 'unmuted' });

  expect(changes).toEqual(['muted', 'unmuted']);
});

test('after the end of the session nothing is followed', () => {
  followed();
  opened[0]?.tell('1-0', { type: 'ended' });

  expect(opened[0]?.readyState).toBe(Stream.CLOSED);
});
