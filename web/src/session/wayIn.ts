/**
 * Enters a call's room for one person: asks first where the room is recorded, enters it again after
 * the connection was lost, and ends a session that it opened and nobody joined.
 */

import { endSession, viewSession } from '../service/sessions';
import { type Entry, type EntryRequest, enter } from './state/entry';
import type { CallState } from './state/phase';

export class WayIn {
  private request: EntryRequest;
  private readonly tell: (change: Partial<CallState>) => void;
  private readonly isOver: () => boolean;
  private takeAnswer: ((agreed: boolean) => void) | null = null;
  /** The session that this call opened and has not joined. */
  private unused: string | null = null;

  constructor(
    request: EntryRequest,
    tell: (change: Partial<CallState>) => void,
    isOver: () => boolean,
  ) {
    this.request = request;
    this.tell = tell;
    this.isOver = isOver;
  }

  /** Take the person's answer before a recorded room is joined. */
  readonly answer = (agreed: boolean) => this.takeAnswer?.(agreed);

  /** Ask the service to let one in; in a recorded room ask the person first. */
  async enter(): Promise<Entry> {
    const entry = await this.ask();
    if (entry.opened) this.unused = entry.session;
    this.request = { ...this.request, room: entry.room };
    return entry;
  }

  /** Note that the room was joined. */
  used(): void {
    this.unused = null;
  }

  /** End a session that was not joined, unless another person has joined it by a link. */
  async giveBack(): Promise<void> {
    const { unused: session, request } = this;
    this.unused = null;
    if (session === null) return;
    try {
      const { people } = await viewSession(session);
      if (people.every(({ identity }) => identity === request.identity)) await endSession(session);
    } catch {
      // The session ends by itself after a while.
    }
  }

  private async ask(): Promise<Entry> {
    const entry = await enter(this.request);
    this.tell({ recording: entry.recording });
    if (entry.recording === null || this.request.agreed !== undefined || this.isOver())
      return entry;
    this.tell({ asksToRecord: true });
    const agreed = await new Promise<boolean>((answer) => {
      this.takeAnswer = answer;
    });
    this.tell({ asksToRecord: false });
    this.request = { ...this.request, room: entry.room, agreed };
    return agreed && !this.isOver()
      ? { ...(await enter(this.request)), opened: entry.opened }
      : entry;
  }
}
