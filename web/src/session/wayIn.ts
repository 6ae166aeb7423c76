/**
 * The way of one person into a call's room: with an answer where the room is recorded, the same
 * way again after the connection was lost, and given back if it was not used.
 */

import { endSession, viewSession } from '../service/sessions';
import { type Entry, enter, type Wish } from './state/entry';
import type { CallState } from './state/phase';

export class WayIn {
  private wish: Wish;
  private readonly tell: (change: Partial<CallState>) => void;
  private readonly isOver: () => boolean;
  private takeAnswer: ((agreed: boolean) => void) | null = null;
  /** A session that this call opened and has not come into. */
  private unused: string | null = null;

  constructor(wish: Wish, tell: (change: Partial<CallState>) => void, isOver: () => boolean) {
    this.wish = wish;
    this.tell = tell;
    this.isOver = isOver;
  }

  /** Take the person's answer before a recorded room is joined. */
  readonly answer = (agreed: boolean) => this.takeAnswer?.(agreed);

  /** Ask for a place; in a recorded room only once the person knows, and agrees where it has to. */
  async enter(): Promise<Entry> {
    const entry = await this.ask();
    if (entry.opened) this.unused = entry.session;
    this.wish = { ...this.wish, room: entry.room };
    return entry;
  }

  /** The room was joined. */
  used(): void {
    this.unused = null;
  }

  /** An unused session ends at once, unless another person has joined it by a link. */
  async giveBack(): Promise<void> {
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

  private async ask(): Promise<Entry> {
    const entry = await enter(this.wish);
    this.tell({ recording: entry.recording });
    if (entry.recording === null || this.wish.agreed !== undefined || this.isOver()) return entry;
    this.tell({ asksToRecord: true });
    const agreed = await new Promise<boolean>((answer) => {
      this.takeAnswer = answer;
    });
    this.tell({ asksToRecord: false });
    this.wish = { ...this.wish, room: entry.room, agreed };
    return agreed && !this.isOver() ? { ...(await enter(this.wish)), opened: entry.opened } : entry;
  }
}
