/**
 * One call: from the click on start to the end, in one room, with a state for the page to show.
 *
 * Owns the LiveKit room and the microphone. Knows no React. After each event of the room it asks
 * the room whether the call is live; it keeps no second copy of that.
 */

import {
  type DisconnectReason,
  type LocalAudioTrack,
  type RemoteParticipant,
  Room,
  RoomEvent,
  Track,
} from 'livekit-client';
import { endSession, mutePersona, type SessionView, viewSession } from '../service/sessions';
import { MIND_TOPIC, TURN_TOPIC } from '../service/wire';
import { journal } from '../store/eventLog';
import { t } from '../strings/strings';
import { checkCall } from './ability';
import { stayAwake } from './awake';
import { ConnectionQuality } from './connection/connectionQuality';
import { Gauge } from './connection/readings';
import { comesBack, LIVEKITS_OWN, waitBefore } from './connection/reconnection';
import { type SessionEvent, storyOf } from './events/eventText';
import { SessionWatch } from './events/sessionWatch';
import { latencyOf } from './events/turn';
import { isLast, isVoice, personasAfter, tellsOfNewcomer, voiceState } from './participants';
import { followChoice } from './sound/followChoice';
import { KeptSound } from './sound/keptSound';
import { soundContext } from './sound/meter';
import { Microphone } from './sound/microphone';
import { captureOf, sound } from './sound/sound';
import { CallStore, reasonOf } from './state/callStore';
import type { Entry, EntryRequest } from './state/entry';
import { departureTrouble, roomTrouble } from './state/roomTrouble';
import { IN_TURN, RoomFailed, type Trouble, troubleOf } from './state/trouble';
import { noteOf } from './transcript/mindNote';
import { Transcript } from './transcript/transcript';
import { WayIn } from './wayIn';

const ROOM_EVENTS = [
  RoomEvent.ConnectionStateChanged,
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantAttributesChanged,
] as const;

// A server that is frozen accepts a connection and never answers.
const CONNECT = { websocketTimeout: 8_000, peerConnectionTimeout: 12_000, maxRetries: 0 };

export class Call extends CallStore {
  readonly room = new Room({
    audioCaptureDefaults: captureOf(sound.read()),
    audioOutput: { deviceId: sound.read().speaker },
    disconnectOnPageLeave: true,
    reconnectPolicy: LIVEKITS_OWN,
  });
  readonly transcript = new Transcript();
  readonly turns = new Gauge();
  readonly connectionQuality = new ConnectionQuality();
  readonly keptSound = new KeptSound();
  private readonly microphone = new Microphone(
    (track) => this.hearOneself(track),
    (error) => this.tellSoundTrouble(error),
  );
  private attempt = 0;
  private reconnecting = false;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly endings: (() => void)[] = [];
  private readonly watch: SessionWatch;
  private readonly way: WayIn;

  constructor(request: EntryRequest) {
    super(request.personas);
    this.way = new WayIn(request, this.set, () => this.over);
    this.watch = new SessionWatch(this.takeEvent, this.takeView);
  }

  /** Go into the room. Call it from a click, so that the browser lets sound play. */
  async start(): Promise<void> {
    soundContext();
    this.listen();
    try {
      checkCall();
      await this.enter();
    } catch (error) {
      if (!this.over) await this.end(troubleOf(error));
    }
  }

  /** Leave the room; the words stay. The last person to leave ends the session. */
  async hangUp(): Promise<void> {
    const { session } = this.state;
    const last = isLast(this.room);
    await this.end(null);
    if (session && last) await endSession(session).catch(() => undefined);
  }

  /** Take a person's answer before a recorded room is joined. */
  readonly answerRecording = (agreed: boolean) => this.way.answer(agreed);

  /** Try at once to join the room again. */
  readonly retryNow = () => {
    if (this.state.retryAtMs === null) return;
    clearTimeout(this.retry);
    this.comeBack();
  };

  /** Mute or unmute a persona for everyone. Throws `Refused` where the person may not. */
  async mute(personaId: string, muted: boolean): Promise<void> {
    const { session } = this.state;
    if (!session) return;
    const changed = await mutePersona(session, personaId, muted);
    const { personas } = this.state; // other people may have changed them meanwhile
    this.set({ personas: personas.map((one) => changed.find(({ id }) => id === one.id) ?? one) });
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
    window.addEventListener('pagehide', this.leaveWithPage);
    this.endings.push(() => window.removeEventListener('pagehide', this.leaveWithPage));
  }

  /** Join step by step: the browser asks for the microphone only once the service has let one in. */
  private async enter(): Promise<void> {
    this.set({ step: t.call.asking });
    const entry = await this.way.enter();
    if (this.over) return this.way.giveBack();
    const { session, rated, room, personas } = entry;
    this.set({ session, rated, room, personas, step: t.call.waitingForMicrophone });
    const track = await this.microphone.open(sound.read());
    if (this.over) return this.microphone.stop();
    this.set({ step: t.call.connecting });
    this.hearOneself(track);
    await this.join(entry, track).catch((reason) => {
      throw new RoomFailed(roomTrouble(reason, entry.serverUrl));
    });
  }

  private async join({ serverUrl, token, session }: Entry, track: LocalAudioTrack): Promise<void> {
    await this.room.connect(serverUrl, token, CONNECT);
    this.way.used();
    if (this.over) return;
    await this.room.localParticipant.publishTrack(track, { source: Track.Source.Microphone });
    this.connectionQuality.start(track);
    this.attempt = 0;
    this.watch.follow(session);
    journal.add('info', 'page', t.panels.happenings.inRoom, { room: this.state.room });
    this.look();
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
    if (view && !this.over) this.set({ personas: view.personas }); // otherwise the participant's attributes name it
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
    this.watch.ask(this.state.session, !live);
  };

  private readonly takeView = ({ waiting, personas }: SessionView) => {
    if (this.state.phase !== 'warming' && this.state.phase !== 'full') return;
    const inLine = waiting !== null && IN_TURN.has(waiting.code);
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

  private readonly followSound = () =>
    void followChoice(this.room, this.microphone).catch(this.tellSoundTrouble);

  /** Tell what is wrong with microphone or loudspeaker; the call goes on. */
  readonly tellSoundTrouble = (error: unknown) => {
    const soundTrouble = troubleOf(error);
    journal.add('error', 'page', soundTrouble.title, { ...soundTrouble });
    if (!this.over) this.set({ soundTrouble });
  };

  /** A person has read it. It stays where no microphone works. */
  readonly closeSoundTrouble = () => {
    if (!this.microphone.isLost) this.set({ soundTrouble: null });
  };

  private hearOneself({ mediaStreamTrack: microphone }: LocalAudioTrack): void {
    this.set({ microphone, soundTrouble: null });
    if (!this.over) this.keptSound.take('own', microphone, 'own');
  }

  /** Whoever comes back to this page by the browser's history has left the call before. */
  private readonly leaveWithPage = () => void this.end(null);

  private setReconnecting(reconnecting: boolean): void {
    this.reconnecting = reconnecting;
    this.look();
  }

  /** Handle a lost connection. While connecting, `connect` itself throws with a better reason. */
  private readonly left = (reason?: DisconnectReason) => {
    this.reconnecting = false;
    if (this.over || this.state.phase === 'connecting') return;
    if (!comesBack(reason)) return void this.end(departureTrouble(reason));
    if (this.retry === undefined) this.waitToComeBack(departureTrouble(reason));
  };

  private waitToComeBack(trouble: Trouble): void {
    this.watch.ask(this.state.session, false);
    this.connectionQuality.stop();
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
    this.way.answer(false);
    this.watch.stop();
    this.connectionQuality.stop();
    for (const ending of this.endings.splice(0)) ending();
    this.microphone.stop();
    this.keptSound.stop();
    this.set({ microphone: null });
    await this.room.disconnect();
    await this.way.giveBack();
  }
}
