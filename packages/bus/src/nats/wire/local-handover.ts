/** Passes messages between parts of one process without leaving it. */
import type { Unsubscribe } from "../../api.js";

type LocalHandler = (data: Uint8Array) => void;

/**
 * Subjects that only this process subscribes to. A message is handed over after the publisher's turn (as a microtask),
 * so a handler never runs inside the call that published, and order is that of publishing.
 */
export class LocalHandover {
  readonly #handlers = new Map<string, readonly LocalHandler[]>();
  #queue: (LocalHandler | Uint8Array)[] = [];
  #scheduled = false;
  readonly #run = (): void => this.#drain();

  add(subject: string, handler: LocalHandler): Unsubscribe {
    this.#handlers.set(subject, [...(this.#handlers.get(subject) ?? []), handler]);
    return () => {
      const left = (this.#handlers.get(subject) ?? []).filter((other) => other !== handler);
      if (left.length > 0) this.#handlers.set(subject, left);
      else this.#handlers.delete(subject);
    };
  }

  /** False when the subject has no subscriber here. */
  publish(subject: string, data: Uint8Array): boolean {
    const handlers = this.#handlers.get(subject);
    if (handlers === undefined) return false;
    for (const handler of handlers) this.#queue.push(handler, data);
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(this.#run);
    }
    return true;
  }

  #drain(): void {
    this.#scheduled = false;
    const queue = this.#queue;
    this.#queue = [];
    for (let i = 0; i < queue.length; i += 2) (queue[i] as LocalHandler)(queue[i + 1] as Uint8Array);
  }
}
