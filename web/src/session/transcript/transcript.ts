/**
 * The words of a room as they come: LiveKit's text streams on `lk.transcription` and `lk.chat`.
 *
 * One stream is one segment that grows; a later stream with the same segment id replaces it.
 * Knows no React; outlives the room, so that the words stay readable after hanging up.
 */

import {
  type RemoteParticipant,
  type Room,
  RoomEvent,
  type TextStreamReader,
} from 'livekit-client';
import {
  ATTR_AGO_MS,
  ATTR_PERSONA,
  ATTR_SEGMENT_FINAL,
  ATTR_SEGMENT_ID,
  CHAT_TOPIC,
  TRANSCRIPTION_TOPIC,
} from '../../service/wire';
import { Listeners } from '../../store/listeners';
import { t } from '../../strings/strings';

export interface Segment {
  id: string;
  identity: string;
  /** The speaker's label and persona when it spoke; it may be gone since. */
  label: string;
  persona: string;
  text: string;
  final: boolean;
  typed: boolean;
  /** No words: what the persona's mind does. */
  note?: boolean;
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
  note: boolean;
  segments: Segment[];
}

const PAUSE_MS = 4_000;
const TURN_SEGMENTS = 40; // then a new turn begins, so that a word more costs no more with time
const LINE_CHARACTERS = 10_000; // as a worker reads
const LONGEST_AGO_MS = 60_000;
const LATEST = 5;
const KEPT = 20_000; // segments; an hour of four voices has some 3,000

export class Transcript extends Listeners {
  private readonly segments: Segment[] = [];
  private readonly places = new Map<string, number>(); // of segments by their ids
  private list: readonly Segment[] | null = [];
  private latest: readonly Segment[] = [];
  private readonly open = new Set<string>(); // ids of segments whose words are coming
  private readonly gone = new Map<string, RemoteParticipant>(); // words come after they were said

  /** The segments so far: another list after each change, the same one until then. */
  readonly read = (): readonly Segment[] => {
    this.list ??= [...this.segments];
    return this.list;
  };

  /** The segments that were finished last, in that order: words may come after later ones. */
  readonly readLatest = (): readonly Segment[] => this.latest;

  /** Take the words of this room. Call before connecting: a stream that has begun is not seen. */
  listen(room: Room): void {
    room.on(RoomEvent.ParticipantDisconnected, (left) => {
      this.gone.set(left.identity, left);
      if (left.isAgent) this.finishAbandoned();
    });
    room.on(RoomEvent.Disconnected, () => this.finishAbandoned());
    for (const topic of [TRANSCRIPTION_TOPIC, CHAT_TOPIC]) {
      room.registerTextStreamHandler(topic, (reader, { identity }) => {
        const typed = topic === CHAT_TOPIC;
        const id = segmentId(reader);
        this.open.add(id);
        this.take(reader, identity, room, typed)
          .catch(() => this.finish(id))
          .finally(() => this.open.delete(id));
      });
    }
  }

  /** Send a typed line to the room. Throws where the room cannot be reached. */
  async type(room: Room, text: string): Promise<void> {
    const { id } = await room.localParticipant.sendText(text, { topic: CHAT_TOPIC });
    const { identity, name } = room.localParticipant;
    const nowMs = performance.now();
    const about = {
      id,
      identity,
      label: name || t.transcript.you,
      persona: '',
      typed: true,
      final: true,
    };
    this.put({ ...about, text, startMs: nowMs, endMs: nowMs });
  }

  /** Put a quiet line about what a persona's mind does. */
  putNote(about: Pick<Segment, 'id' | 'text' | 'final'>, from: RemoteParticipant): void {
    const startMs = this.find(about.id)?.startMs ?? performance.now();
    const { identity, name, attributes } = from;
    const persona = attributes[ATTR_PERSONA] ?? '';
    const speaker = {
      identity,
      label: name?.trim() || identity,
      persona,
      typed: false,
      note: true,
    };
    this.put({ ...about, ...speaker, startMs, endMs: performance.now() });
  }

  /** Put one segment in its place: a known id is replaced, a new one goes where it began. */
  put(segment: Segment): void {
    const at = this.places.get(segment.id);
    const known = at === undefined ? undefined : this.segments[at];
    if (segment.final && !segment.note && !known?.final)
      this.latest = [...this.latest.slice(1 - LATEST), segment];
    if (at !== undefined) this.segments[at] = segment;
    else {
      if (this.segments.length >= KEPT) this.forget();
      this.insert(segment);
    }
    this.list = null;
    this.tell();
  }

  /** A person's words come some time after they were said: before those that began later. */
  private insert(segment: Segment): void {
    const before = this.segments.findLastIndex(({ startMs }) => startMs <= segment.startMs);
    this.segments.splice(before + 1, 0, segment);
    for (let at = before + 1; at < this.segments.length; at++) {
      const moved = this.segments[at];
      if (moved) this.places.set(moved.id, at);
    }
  }

  /** Drop the older half of what is kept. */
  private forget(): void {
    this.segments.splice(0, KEPT / 2);
    this.places.clear();
    this.segments.forEach(({ id }, at) => void this.places.set(id, at));
  }

  private find(id: string): Segment | undefined {
    const at = this.places.get(id);
    return at === undefined ? undefined : this.segments[at];
  }

  private async take(
    reader: TextStreamReader,
    identity: string,
    room: Room,
    typed: boolean,
  ): Promise<void> {
    const id = segmentId(reader);
    const known = this.find(id);
    if (known && known.identity !== identity) return; // words are replaced by their own speaker alone
    const speaker = room.getParticipantByIdentity(identity) ?? this.gone.get(identity);
    const about = {
      id,
      identity,
      label: speaker?.name?.trim() || identity,
      persona: speaker?.attributes[ATTR_PERSONA] ?? '',
      typed,
      startMs: known?.startMs ?? performance.now() - agoMs(reader),
    };
    let text = '';
    for await (const chunk of reader) {
      text = (text + chunk).slice(0, LINE_CHARACTERS);
      this.put({ ...about, text, final: false, endMs: performance.now() });
      if (text.length === LINE_CHARACTERS) break;
    }
    if (reader.info.attributes?.[ATTR_SEGMENT_FINAL] !== 'false') this.finish(id);
  }

  /** A host may have been lost between a sentence as it is heard so far and its last form. */
  private finishAbandoned(): void {
    for (const { id, final } of this.segments) if (!final && !this.open.has(id)) this.finish(id);
  }

  private finish(id: string): void {
    const segment = this.find(id);
    if (segment) this.put({ ...segment, final: true });
  }
}

/** Group what belongs together on the screen. */
export function turnsOf(segments: readonly Segment[]): Turn[] {
  const turns: Turn[] = [];
  for (const segment of segments) {
    const { id, identity, label, persona, typed, note = false } = segment;
    const last = turns.at(-1);
    const pauseMs = segment.startMs - (last?.segments.at(-1)?.endMs ?? 0);
    const goesOn = pauseMs < PAUSE_MS && (last?.segments.length ?? 0) < TURN_SEGMENTS;
    const alike = last?.identity === identity && last.typed === typed && last.note === note;
    if (last && alike && goesOn && !note) {
      last.segments.push(segment);
    } else {
      turns.push({ id, identity, label, persona, typed, note, segments: [segment] });
    }
  }
  return turns;
}

/** Whether two turns look the same: segments are never changed, only replaced. */
export function isSame(one: Turn, other: Turn): boolean {
  return (
    one.id === other.id &&
    one.segments.length === other.segments.length &&
    one.segments.every((segment, at) => segment === other.segments[at])
  );
}

/** How long ago a person began to say this; a persona's words come as they are said. */
function agoMs(reader: TextStreamReader): number {
  const agoMs = Number(reader.info.attributes?.[ATTR_AGO_MS] ?? 0);
  return agoMs >= 0 && agoMs < LONGEST_AGO_MS ? agoMs : 0;
}

function segmentId(reader: TextStreamReader): string {
  return reader.info.attributes?.[ATTR_SEGMENT_ID] ?? reader.info.id;
}
