/** What the service tells of a call's session: its events, and why no voice is there yet. */

import type { SessionView } from '../../service/sessions';
import type { SessionEvent } from './eventText';
import { follow } from './sessionEvents';
import { watch } from './waitForVoice';

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
    this.stopWaiting = awaited ? watch(session, this.takeView) : null;
  }

  stop(): void {
    this.stopWaiting?.();
    this.stopWaiting = null;
    this.stopFollowing?.();
  }
}
