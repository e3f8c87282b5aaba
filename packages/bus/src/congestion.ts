/** Tells inputs to stop and go on reading, over all partitions of a sender. */
import type { Unsubscribe } from "./api.js";

/** Congested while at least one link is; listeners hear of changes only. */
export class Congestion {
  readonly #links = new Set<object>();
  readonly #listeners = new Set<(congested: boolean) => void>();

  get congested(): boolean {
    return this.#links.size > 0;
  }

  onChange(listener: (congested: boolean) => void): Unsubscribe {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** `full` begins it for the link at `window` bytes, and ends it below half of that, so that it does not flutter. */
  update(link: object, bytes: number, window: number): void {
    const before = this.congested;
    if (bytes >= window) this.#links.add(link);
    else if (bytes < window / 2) this.#links.delete(link);
    if (before !== this.congested) for (const listener of this.#listeners) listener(this.congested);
  }
}
