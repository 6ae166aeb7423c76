/**
 * The sound of a call, to keep: the person on the left, the AI voices on the right.
 *
 * It is in this tab's memory alone, up to a bound, and gone with the tab. Other people are not
 * recorded: they were not asked.
 */

import { journal } from '../../store/eventLog';
import { Listeners } from '../../store/listeners';
import { t } from '../../strings/strings';
import { soundContext } from './meter';

export const LONGEST_MINUTES = 60;

const BITS_PER_S = 64_000; // 29 MB in an hour
const PIECE_MS = 5_000;
const KINDS = ['audio/webm;codecs=opus', 'audio/mp4'];

/** What was recorded, and how long it is. */
export interface Sound {
  blob: Blob;
  minutes: number;
}

export class KeptSound extends Listeners {
  private readonly sources = new Map<string, MediaStreamAudioSourceNode>();
  private readonly pieces: Blob[] = [];
  private sides: ChannelMergerNode | null = null;
  private recorder: MediaRecorder | null = null;
  private beganMs = 0;
  private sound: Sound | null = null;
  private full: ReturnType<typeof setTimeout> | undefined;

  /** The sound of a call that is over; `null` before, and where the browser records nothing. */
  readonly read = () => this.sound;

  /** Take a track from now on, in place of the one that had this key. */
  take(key: string, track: MediaStreamTrack | null, side: 'own' | 'voices'): void {
    this.sources.get(key)?.disconnect();
    this.sources.delete(key);
    if (!track) return;
    try {
      this.connect(key, track, side === 'own' ? 0 : 1);
    } catch (error) {
      journal.add('warning', 'page', t.panels.happenings.notKept, { reason: String(error) }); // the call goes on
    }
  }

  /** End it; the sound can be read soon after. */
  stop(): void {
    clearTimeout(this.full);
    for (const source of this.sources.values()) source.disconnect();
    this.sources.clear();
    if (this.recorder?.state === 'recording') this.recorder.stop();
  }

  private connect(key: string, track: MediaStreamTrack, channel: number): void {
    const sides = this.begin();
    if (!sides) return;
    const source = soundContext().createMediaStreamSource(new MediaStream([track]));
    source.connect(sides, 0, channel);
    this.sources.set(key, source);
  }

  private begin(): ChannelMergerNode | null {
    if (this.sides) return this.sides;
    const kind = KINDS.find((each) => globalThis.MediaRecorder?.isTypeSupported(each));
    if (!kind) return null;
    const context = soundContext();
    const kept = context.createMediaStreamDestination();
    this.sides = new ChannelMergerNode(context, { numberOfInputs: 2 });
    this.sides.connect(kept);
    this.recorder = new MediaRecorder(kept.stream, {
      mimeType: kind,
      audioBitsPerSecond: BITS_PER_S,
    });
    this.recorder.ondataavailable = ({ data }) => this.pieces.push(data);
    this.recorder.onstop = () => this.finish(kind);
    this.recorder.start(PIECE_MS);
    this.beganMs = performance.now();
    this.full = setTimeout(() => this.recorder?.stop(), LONGEST_MINUTES * 60_000);
    return this.sides;
  }

  private finish(kind: string): void {
    const minutes = (performance.now() - this.beganMs) / 60_000;
    this.sound = { blob: new Blob(this.pieces, { type: kind }), minutes };
    this.sides?.disconnect();
    this.tell();
  }
}
