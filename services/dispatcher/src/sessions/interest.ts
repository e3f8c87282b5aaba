/** Tells all dispatchers which filters the sessions of a home want: changes at once, everything when asked. */
import { subjects, session as wire } from "@myelin/contract";
import type { FilterInterest } from "./session-store.js";

const FILTERS_PER_MESSAGE = 2_000;

export interface InterestOptions {
  readonly partition: number;
  readonly epoch: number;
  readonly dispatcher: string;
  readonly publish: (subject: string, data: Uint8Array) => boolean;
  /** Every filter there is. */
  readonly keys: () => Iterable<string>;
}

/** One per home. */
export class HomeInterest implements FilterInterest {
  private sequence = 0;
  private added = new Set<string>();
  private removed = new Set<string>();
  private isScheduled = false;
  private isClosed = false;

  constructor(private readonly options: InterestOptions) {}

  wanted(key: string): void {
    if (!this.removed.delete(key)) this.added.add(key);
    this.flushSoon();
  }

  unwanted(key: string): void {
    if (!this.added.delete(key)) this.removed.add(key);
    this.flushSoon();
  }

  /** Who is the home. */
  who(): Uint8Array {
    const { partition, epoch, dispatcher } = this.options;
    return wire.HomeBeat.encode({ partition, epoch, dispatcher, interest: this.sequence }).finish();
  }

  /** Says so to everybody, about once a second. */
  beat(): void {
    if (!this.isClosed) this.options.publish(subjects.sessionBeat(), this.who());
  }

  replay(): void {
    this.added.clear();
    this.removed.clear();
    let part: string[] = [];
    let reset = true;
    for (const key of this.options.keys()) {
      if (part.push(key) < FILTERS_PER_MESSAGE) continue;
      this.send({ reset, complete: false, added: part, removed: [] });
      reset = false;
      part = [];
    }
    this.send({ reset, complete: true, added: part, removed: [] });
  }

  close(): void {
    this.isClosed = true;
  }

  private flushSoon(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      this.flush();
    });
  }

  private flush(): void {
    if (this.added.size === 0 && this.removed.size === 0) return;
    const added = [...this.added];
    const removed = [...this.removed];
    this.added.clear();
    this.removed.clear();
    for (let at = 0; at < Math.max(added.length, removed.length); at += FILTERS_PER_MESSAGE) {
      const end = at + FILTERS_PER_MESSAGE;
      this.send({
        reset: false,
        complete: true,
        added: added.slice(at, end),
        removed: removed.slice(at, end),
      });
    }
  }

  private send(what: Pick<wire.SessionInterest, "reset" | "complete" | "added" | "removed">): void {
    if (this.isClosed) return;
    const { partition, epoch, publish } = this.options;
    this.sequence += 1;
    publish(
      subjects.sessionInterest(),
      wire.SessionInterest.encode({ partition, epoch, sequence: this.sequence, ...what }).finish(),
    );
  }
}
