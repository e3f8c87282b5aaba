/** Which messages were taken a short while ago: what is offered again after a restart of its sender is known by its id. */
import type { Message } from "./session.js";

/** More than what one source has in hand. In all twice this many. */
const GENERATION = 32_768;

/** Bounded by count: the older half is forgotten at once. */
export class RecentMessages {
  private young = new Map<string, Message | undefined>();
  private old = new Map<string, Message | undefined>();

  /** @param message while somebody needs it */
  add(id: string, message: Message | undefined): void {
    if (id === "") return;
    if (this.young.size >= GENERATION) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(id, message);
  }

  has(id: string): boolean {
    return this.young.has(id) || this.old.has(id);
  }

  /** The message, if somebody still needs it. */
  get(id: string): Message | undefined {
    const message = this.young.get(id) ?? this.old.get(id);
    return message !== undefined && message.open > 0 ? message : undefined;
  }

  /** The message is needed no longer, its id stays known. */
  release(message: Message): void {
    const { id } = message;
    if (this.young.get(id) === message) this.young.set(id, undefined);
    else if (this.old.get(id) === message) this.old.set(id, undefined);
  }

  /** The message has left for good: its id may come anew. Unless it is that of another one by now. */
  forget({ id, number }: Message): void {
    for (const half of [this.young, this.old]) {
      const known = half.get(id);
      if (known === undefined || known.number === number) half.delete(id);
    }
  }

  *ids(): IterableIterator<string> {
    yield* this.old.keys();
    yield* this.young.keys();
  }
}
