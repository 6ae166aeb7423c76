/**
 * One call: from the click on start to the end, in one room, with a state for the page to show.
 *
 * Owns the LiveKit room and the microphone. Knows no React. Whether a call is live is asked of the
 * room each time something happens there; no second copy of it is kept.
 */

import {
  type DisconnectReason,
  type LocalAudioTrack,
  type RemoteParticipant,
  Room,
  RoomEvent,
  Track,
} from 'livekit-client';
import { soundContext } from '../call/meter';
import { isLast, isVoice, personasAfter, tellsOfNewcomer, voiceState } from '../call/participants';
import { type SessionEvent, storyOf } from '../panels/eventText';
import { Gauge } from '../panels/readings';
import { journal } from '../service/eventLog';
import {
  endSession,
  hushPersona,
  type SessionView,
  viewSession,
  type Why,
} from '../service/sessions';
import { MIND_TOPIC, TURN_TOPIC } from '../service/wire';
import { t } from '../strings/strings';
import { stayAwake } from './awake';
import { Pulse } from './connectionQuality';
import { type AskedPersona, type Entry, enter, type Wish } from './entry';
import { KeptSound } from './keptSound';
import { Listeners } from './listeners';
import { Microphone } from './microphone';
import { noteOf } from './mindNote';
import { BEGINNING, type CallState, isOver } from './phase';
import { comesBack, LIVEKITS_OWN, waitBefore } from './reconnection';
import { follow } from './sessionEvents';
import { captureOf, sound } from './sound';
import { Transcript } from './transcript';
import { departureTrouble, InsecurePage, RoomFailed, type Trouble, troubleOf } from './trouble';
import { latencyOf } from './turn';
import { watch } from './waitForVoice';

const ROOM_EVENTS = [
  RoomEvent.ConnectionStateChanged,
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantAttributesChanged,
] as const;

// A server that is frozen takes a connection and never answers.
const CONNECT = { websocketTimeout: 8_000, peerConnectionTimeout: 12_000, maxRetries: 0 };

export class Call extends Listeners {
  readonly room = new Room({
    audioCaptureDefaults: captureOf(sound.read()),
    audioOutput: { deviceId: sound.read().speaker },
    disconnectOnPageLeave: true,
    reconnectPolicy: LIVEKITS_OWN,
  });
  readonly transcript = new Transcript();
  readonly turns = new Gauge();
  readonly pulse = new Pulse();
  readonly keptSound = new KeptSound();
  private readonly microphone = new Microphone();
  private wish: Wish;
  private state: CallState = BEGINNING;
  private attempt = 0;
  private reconnecting = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private stopWaiting: (() => void) | null = null;
  private stopFollowing: (() => void) | null = null;
  private followed: string | null = null;
  private takeAnswer: ((agreed: boolean) => void) | null = null;
  /** A session that this call opened and has not come into. */
  private unused: string | null = null;
  private readonly endings: (() => void)[] = [];

  constructor(wish: Wish) {
    super();
    this.wish = wish;
    this.state = { ...BEGINNING, personas: wish.personas.map(unseen) };
  }

  readonly read = () => this.state;

  /** Go into the room. Call it from a click, so that the browser lets sound play. */
  async start(): Promise<void> {
    soundContext();
    this.listen();
    try {
      if (!window.isSecureContext || !navigator.mediaDevices) throw new InsecurePage();
      await this.enter();
    } catch (error) {
      if (!this.over) await this.end(troubleOf(error));
    }
  }

  /** Leave the room; the words stay. Who leaves nobody behind ends the session. */
  async hangUp(): Promise<void> {
    const { session } = this.state;
    const last = isLast(this.room);
    await this.end(null);
    if (session && last) await endSession(session).catch(() => undefined);
  }

  /** Take a person's answer before a recorded room is joined. */
  readonly answerRecording = (agreed: boolean) => this.takeAnswer?.(agreed);

  /** Wait no longer for the next try to come back. */
  readonly retryNow = () => {
    if (this.state.retryAtMs === null) return;
    clearTimeout(this.retry);
    this.comeBack();
  };

  /** Let a persona be heard no more, or again. Throws `Refused` where it is not allowed. */
  async hush(personaId: string, muted: boolean): Promise<void> {
    const { session } = this.state;
    if (!session) return;
    const changed = await hushPersona(session, personaId, muted);
    const { personas } = this.state; // as others have left it meanwhile
    this.set({ personas: personas.map((one) => changed.find(({ id }) => id === one.id) ?? one) });
  }

  private get over(): boolean {
    return isOver(this.state.phase);
  }

  private listen(): void {
    const { room } = this;
    this.transcript.listen(room);
    for (const event of ROOM_EVENTS) room.on(event, this.look);
    room.on(RoomEvent.SignalReconnecting, () => this.setReconnecting(true));
    room.on(RoomEvent.Reconnecting, () => this.setReconnecting(true));
    room.on(RoomEvent.Reconnected, () => this.setReconnecting(false));
    room.on(RoomEvent.Disconnected, this.left);
    room.on(RoomEvent.DataReceived, this.takeData);
    room.on(RoomEvent.TrackSubscribed, ({ kind, sid = '', mediaStreamTrack }, _, { isAgent }) => {
      if (isAgent && kind === Track.Kind.Audio)
        this.keptSound.take(sid, mediaStreamTrack, 'voices');
    });
    room.on(RoomEvent.TrackUnsubscribed, ({ sid = '' }) =>
      this.keptSound.take(sid, null, 'voices'),
    );
    window.addEventListener('online', this.retryNow);
    this.endings.push(stayAwake());
    this.endings.push(sound.subscribe(this.followSound));
    this.endings.push(() => window.removeEventListener('online', this.retryNow));
  }

  /** Each step waits for the one before: who gets no place is not asked for a microphone. */
  private async enter(): Promise<void> {
    this.set({ step: t.call.asking });
    const entry = await this.enterInformed();
    if (entry.opened) this.unused = entry.session;
    if (this.over) return this.giveBack();
    this.wish = { ...this.wish, room: entry.room };
    const { session, room, personas } = entry;
    this.set({ session, room, personas, step: t.call.waitingForMicrophone });
    const track = await this.microphone.open(sound.read());
    if (this.over) return this.microphone.stop();
    this.set({ step: t.call.connecting, microphone: track.mediaStreamTrack });
    await this.join(entry, track).catch((reason) => {
      throw new RoomFailed(reason, entry.serverUrl);
    });
  }

  /** Before a recorded room is joined the person knows, and agrees where it has to. */
  private async enterInformed(): Promise<Entry> {
    const entry = await enter(this.wish);
    this.set({ recording: entry.recording });
    if (entry.recording === null || this.wish.agreed !== undefined || this.over) return entry;
    this.set({ asksToRecord: true });
    const agreed = await new Promise<boolean>((answer) => {
      this.takeAnswer = answer;
    });
    this.set({ asksToRecord: false });
    this.wish = { ...this.wish, room: entry.room, agreed };
    return agreed && !this.over ? { ...(await enter(this.wish)), opened: entry.opened } : entry;
  }

  private async join({ serverUrl, token, session }: Entry, track: LocalAudioTrack): Promise<void> {
    await this.room.connect(serverUrl, token, CONNECT);
    this.unused = null;
    if (this.over) return;
    await this.room.localParticipant.publishTrack(track, { source: Track.Source.Microphone });
    this.pulse.start(track);
    this.attempt = 0;
    this.followEvents(session);
    journal.add('info', 'page', 'You are in the room', { room: this.state.room });
    this.look();
  }

  /** One comes back into the same session, or, where that is over, into another one. */
  private followEvents(session: string | null): void {
    if (session === null || session === this.followed) return;
    this.stopFollowing?.();
    this.stopFollowing = follow(session, this.takeEvent);
    this.followed = session;
  }

  private readonly takeEvent = (event: SessionEvent) => {
    const story = storyOf(event);
    if (story) journal.add(story.level, 'session', story.text, event, event.at_s * 1000);
    this.set({ personas: personasAfter(event, this.state.personas) });
    if (tellsOfNewcomer(event, this.state.personas)) void this.lookWhoCame();
  };

  private async lookWhoCame(): Promise<void> {
    const { session } = this.state;
    const view = session && (await viewSession(session).catch(() => null));
    if (view && !this.over) this.set({ personas: view.personas }); // else seen as who it says it is
  }

  private readonly look = () => {
    if (this.over || this.room.state === 'disconnected' || this.room.state === 'connecting') return;
    if (this.reconnecting) return this.set({ phase: 'reconnecting', retryAtMs: null });
    const voices = [...this.room.remoteParticipants.values()].filter(isVoice);
    const live = voices.some((voice) => ['listening', 'speaking'].includes(voiceState(voice)));
    const liveSinceMs = this.state.liveSinceMs ?? (live ? performance.now() : null);
    if (live) this.set({ phase: 'live', step: '', reason: '', position: 0, trouble: null });
    else if (this.state.phase !== 'full') this.set({ phase: 'warming', step: '', trouble: null });
    this.set({ liveSinceMs });
    this.watchSession(!live);
  };

  /** While no voice is there, the service knows why. */
  private watchSession(awaited: boolean): void {
    const { session } = this.state;
    if (awaited === (this.stopWaiting !== null) || !session) return;
    this.stopWaiting?.();
    this.stopWaiting = awaited ? watch(session, this.takeView) : null;
  }

  private readonly takeView = ({ waiting, personas }: SessionView) => {
    if (this.state.phase !== 'warming' && this.state.phase !== 'full') return;
    const inLine = waiting?.code === 'full' || waiting?.code === 'in_line';
    const phase = inLine ? 'full' : 'warming';
    const position = inLine ? waiting.position : 0;
    this.set({ phase, reason: reasonOf(waiting), position, personas });
  };

  private readonly takeData = (
    payload: Uint8Array,
    from?: RemoteParticipant,
    ...[, topic]: unknown[]
  ) => {
    if (!from?.isAgent) return;
    const note = topic === MIND_TOPIC ? noteOf(payload) : null;
    if (note) this.transcript.putNote(note, from);
    if (topic !== TURN_TOPIC) return;
    const latencyMs = latencyOf(payload);
    if (latencyMs !== null) this.turns.add(latencyMs);
  };

  private readonly followSound = async () => {
    const wish = sound.read();
    try {
      this.room.options.audioCaptureDefaults = captureOf(wish);
      if (await this.microphone.follow(wish)) {
        this.set({ microphone: this.microphone.track?.mediaStreamTrack ?? null });
        journal.add('info', 'page', 'The microphone was changed', { ...captureOf(wish) });
      }
      if (this.room.getActiveDevice('audiooutput') !== (wish.speaker || 'default')) {
        await this.room.switchActiveDevice('audiooutput', wish.speaker || 'default');
      }
    } catch (error) {
      const { title, why, todo } = troubleOf(error);
      journal.add('error', 'page', title, { why, todo });
      this.set({ trouble: troubleOf(error) });
    }
  };

  private setReconnecting(reconnecting: boolean): void {
    this.reconnecting = reconnecting;
    this.look();
  }

  /** The room is gone. While connecting, `connect` itself throws and knows better why. */
  private readonly left = (reason?: DisconnectReason) => {
    this.reconnecting = false;
    if (this.over || this.state.phase === 'connecting') return;
    if (!comesBack(reason)) return void this.end(departureTrouble(reason));
    if (this.retry === undefined) this.waitToComeBack(departureTrouble(reason));
  };

  private waitToComeBack(trouble: Trouble | null): void {
    this.watchSession(false);
    this.pulse.stop();
    const waitMs = waitBefore(this.attempt++);
    if (waitMs === null) return void this.end(trouble);
    this.set({ phase: 'reconnecting', retryAtMs: performance.now() + waitMs, trouble });
    this.retry = setTimeout(() => this.comeBack(), waitMs);
  }

  private async comeBack(): Promise<void> {
    this.set({ retryAtMs: null });
    try {
      await this.enter();
      this.retry = undefined;
    } catch (error) {
      if (!this.over) this.waitToComeBack(troubleOf(error));
    }
  }

  private async end(trouble: Trouble | null): Promise<void> {
    const gone = trouble?.kind === 'disconnected' ? 'disconnected' : 'error';
    if (!this.over) this.set({ phase: trouble ? gone : 'ended', step: '', trouble });
    clearTimeout(this.retry);
    this.takeAnswer?.(false);
    this.watchSession(false);
    this.pulse.stop();
    this.stopFollowing?.();
    for (const ending of this.endings.splice(0)) ending();
    this.microphone.stop();
    this.keptSound.stop();
    this.set({ microphone: null });
    await this.room.disconnect();
    await this.giveBack();
  }

  /** Places that nobody came to are free at once. Somebody else may have come by a link. */
  private async giveBack(): Promise<void> {
    const { unused: session, wish } = this;
    this.unused = null;
    if (session === null) return;
    try {
      const { people } = await viewSession(session);
      if (people.every(({ identity }) => identity === wish.identity)) await endSession(session);
    } catch {
      // It ends by itself after a while.
    }
  }

  private set(change: Partial<CallState>): void {
    const before = this.state;
    const keys = Object.keys(change) as (keyof CallState)[];
    if (keys.every((key) => change[key] === before[key])) return;
    this.state = { ...before, ...change };
    if (before.phase !== this.state.phase) tellPhase(this.state);
    if ('microphone' in change && !this.over)
      this.keptSound.take('own', this.state.microphone, 'own');
    this.tell();
  }
}

function tellPhase({ phase, trouble, reason, position }: CallState): void {
  const level = phase === 'error' || phase === 'disconnected' ? 'error' : 'info';
  const details = trouble ? { ...trouble } : reason ? { reason, position } : null;
  journal.add(
    level,
    'page',
    trouble ? `${phase}: ${trouble.title}` : `The call is ${phase}`,
    details,
  );
}

function reasonOf(waiting: Why | null): string {
  return waiting ? (t.refusals[waiting.code] ?? waiting.detail) : '';
}

/** A persona before the service has said anything about it. */
function unseen({ name, label }: AskedPersona) {
  return { id: '', name, label: label ?? name, muted: false };
}
