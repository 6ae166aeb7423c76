/** What the service tells of a call's session: its events, and why no voice is there yet. */

import { poll } from '../../service/poll';
import { type SessionView, viewSession } from '../../service/sessions';
import type { SessionEvent } from './eventText';
import { follow } from './sessionEvents';

const EVERY_MS = 1_500;

export class SessionWatch {
  private readonly takeEvent: (event: SessionEvent) => void;
  private readonly takeView: (view: SessionView) => void;
  private followed: string | null = null;
  private stopFollowing: (() => void) | null = null;
  private stopWaiting: (() => void) | null = null;

  constructor(takeEvent: (event: SessionEvent) => void, takeView: (view: SessionView) => void) {
    this.takeEvent = takeEvent;
    this.takeView = takeView;
  }

  /** One comes back into the same session, or, where that is over, into another one. */
  follow(session: string | null): void {
    if (session === null || session === this.followed) return;
    this.stopFollowing?.();
    this.stopFollowing = follow(session, this.takeEvent);
    this.followed = session;
  }

  /** Ask how the session is for as long as a voice is awaited. */
  ask(session: string | null, awaited: boolean): void {
    if (awaited === (this.stopWaiting !== null) || !session) return;
    this.stopWaiting?.();
    const take = (view: SessionView | null) => view && this.takeView(view);
    this.stopWaiting = awaited ? poll(() => viewSession(session), EVERY_MS, take) : null;
  }

  stop(): void {
    this.stopWaiting?.();
    this.stopWaiting = null;
    this.stopFollowing?.();
  }
}
