/** Which runs of a flow wait, and which may begin: the larger priority first, then the older one. */
import type { RunEntry } from "./book.js";

interface FlowQueue {
  readonly waiting: RunEntry[];
  readonly running: Set<string>;
}

/** Per tenant and flow, of one partition. */
export class RunQueues {
  readonly #queues = new Map<string, FlowQueue>();

  /** Takes a run as it stands. */
  add(entry: RunEntry): void {
    const queue = this.#of(entry.header.flow);
    if (entry.state.status !== "waiting") queue.running.add(entry.header.id);
    else {
      const at = queue.waiting.findIndex((other) => goesBefore(entry, other));
      queue.waiting.splice(at < 0 ? queue.waiting.length : at, 0, entry);
    }
  }

  /** The next run that may begin; it counts as running from then on. */
  next(flow: string): RunEntry | undefined {
    const queue = this.#of(flow);
    const [first] = queue.waiting;
    if (first === undefined || queue.running.size >= first.flow.spec.limits.runs) return undefined;
    queue.waiting.shift();
    queue.running.add(first.header.id);
    return first;
  }

  /** It has ended. */
  remove({ header: { flow, id } }: RunEntry): void {
    const queue = this.#of(flow);
    queue.running.delete(id);
    const at = queue.waiting.findIndex(({ header }) => header.id === id);
    if (at >= 0) queue.waiting.splice(at, 1);
    if (queue.running.size === 0 && queue.waiting.length === 0) this.#queues.delete(flow);
  }

  counts(flow: string): { readonly waiting: number; readonly running: number } {
    const queue = this.#queues.get(flow);
    return { waiting: queue?.waiting.length ?? 0, running: queue?.running.size ?? 0 };
  }

  flows(): Iterable<string> {
    return [...this.#queues.keys()];
  }

  #of(flow: string): FlowQueue {
    const known = this.#queues.get(flow);
    if (known !== undefined) return known;
    const made: FlowQueue = { waiting: [], running: new Set() };
    this.#queues.set(flow, made);
    return made;
  }
}

function goesBefore({ header: a }: RunEntry, { header: b }: RunEntry): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  return a.createdAtUs < b.createdAtUs;
}
