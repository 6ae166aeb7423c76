/** The functions to call after a change: the half of a store that React subscribes to. */

export class Listeners {
  private readonly all = new Set<() => void>();

  readonly subscribe = (listener: () => void) => {
    this.all.add(listener);
    return () => void this.all.delete(listener);
  };

  protected tell(): void {
    for (const listener of this.all) listener();
  }
}
