/**
 * The words of a room as they come: LiveKit's text streams on `lk.transcription` and `lk.chat`.
 *
 * One stream is one segment that grows; a later stream with the same segment id replaces it.
 * Knows no React; outlives the room, so that the words stay readable after hanging up.
 */

import type { Room, TextStreamReader } from 'livekit-client';
import { Listeners } from './listeners';
import {
  ATTR_PERSONA,
  ATTR_SEGMENT_FINAL,
  ATTR_SEGMENT_ID,
  CHAT_TOPIC,
  TRANSCRIPTION_TOPIC,
} from './wire';

export interface Segment {
  id: string;
  identity: string;
  /** The speaker's label and persona when it spoke; it may be gone since. */
  label: string;
  persona: string;
  text: string;
  final: boolean;
  typed: boolean;
  /** `performance.now()` of the first and the latest words. */
  startMs: number;
  endMs: number;
}

/** Consecutive segments of one speaker without a long pause. */
export interface Turn {
  id: string;
  identity: string;
  label: string;
  persona: string;
  typed: boolean;
  segments: Segment[];
}

const PAUSE_MS = 4_000;

export class Transcript extends Listeners {
  private segments: readonly Segment[] = [];

  readonly read = () => this.segments;

  /** Take the words of this room. Call before connecting: a stream that has begun is not seen. */
  listen(room: Room): void {
    for (const topic of [TRANSCRIPTION_TOPIC, CHAT_TOPIC]) {
      room.registerTextStreamHandler(topic, (reader, { identity }) => {
        const typed = topic === CHAT_TOPIC;
        this.take(reader, identity, room, typed).catch(() => this.finish(segmentId(reader)));
      });
    }
  }

  /** Type a line to everybody in the room. Throws where the room cannot be reached. */
  async type(room: Room, text: string): Promise<void> {
    const { id } = await room.localParticipant.sendText(text, { topic: CHAT_TOPIC });
    const { identity, name } = room.localParticipant;
    const nowMs = performance.now();
    const about = { id, identity, label: name || 'You', persona: '', typed: true, final: true };
    this.put({ ...about, text, startMs: nowMs, endMs: nowMs });
  }

  /** Put one segment in its place: a known id is replaced, a new one comes last. */
  put(segment: Segment): void {
    const at = this.segments.findIndex((each) => each.id === segment.id);
    this.segments = at < 0 ? [...this.segments, segment] : this.segments.with(at, segment);
    this.tell();
  }

  private async take(
    reader: TextStreamReader,
    identity: string,
    room: Room,
    typed: boolean,
  ): Promise<void> {
    const id = segmentId(reader);
    const speaker = room.getParticipantByIdentity(identity);
    const about = {
      id,
      identity,
      label: speaker?.name || identity,
      persona: speaker?.attributes[ATTR_PERSONA] ?? '',
      typed,
      startMs: this.segments.find((each) => each.id === id)?.startMs ?? performance.now(),
    };
    let text = '';
    for await (const chunk of reader) {
      text += chunk;
      this.put({ ...about, text, final: false, endMs: performance.now() });
    }
    if (reader.info.attributes?.[ATTR_SEGMENT_FINAL] !== 'false') this.finish(id);
  }

  private finish(id: string): void {
    const segment = this.segments.find((each) => each.id === id);
    if (segment) this.put({ ...segment, final: true });
  }
}

/** Group what belongs together on the screen. */
export function turnsOf(segments: readonly Segment[]): Turn[] {
  const turns: Turn[] = [];
  for (const segment of segments) {
    const { id, identity, label, persona, typed } = segment;
    const last = turns.at(-1);
    const pauseMs = segment.startMs - (last?.segments.at(-1)?.endMs ?? 0);
    if (last?.identity === identity && last.typed === typed && pauseMs < PAUSE_MS) {
      last.segments.push(segment);
    } else {
      turns.push({ id, identity, label, persona, typed, segments: [segment] });
    }
  }
  return turns;
}

function segmentId(reader: TextStreamReader): string {
  return reader.info.attributes?.[ATTR_SEGMENT_ID] ?? reader.info.id;
}
