/** Tells all dispatchers which filters the sessions of a home want: changes at once, everything when asked. */
import { subjects, session as wire } from "@myelin/contract";
import type { FilterInterest } from "./session-store.js";
import type { SharedGroup } from "./shared-groups.js";

const FILTERS_PER_MESSAGE = 2_000;
const NOTHING = wire.SessionInterest.fromPartial({});

export interface InterestOptions {
  readonly partition: number;
  readonly epoch: number;
  readonly dispatcher: string;
  readonly publish: (subject: string, data: Uint8Array) => boolean;
  /** Every filter there is. */
  readonly keys: () => Iterable<string>;
  /** Every group of a shared subscription. */
  readonly groups: () => Iterable<SharedGroup>;
}

/** One per home. */
export class HomeInterest implements FilterInterest {
  private sequence = 0;
  private added = new Set<string>();
  private removed = new Set<string>();
  private groups = new Map<string, wire.GroupSessions>();
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

  grouped(key: string, present: number, away: number): void {
    this.groups.set(key, { key, present, away });
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
    this.groups.clear();
    let part: string[] = [];
    let groups: wire.GroupSessions[] = [];
    let reset = true;
    for (const key of this.options.keys()) {
      if (part.push(key) < FILTERS_PER_MESSAGE) continue;
      this.send({ reset, complete: false, added: part });
      reset = false;
      part = [];
    }
    for (const { key, present, size } of this.options.groups()) {
      if (groups.push({ key, present, away: size - present }) < FILTERS_PER_MESSAGE) continue;
      this.send({ reset, complete: false, groups });
      reset = false;
      groups = [];
    }
    this.send({ reset, complete: true, added: part, groups });
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
    const added = [...this.added];
    const removed = [...this.removed];
    const groups = [...this.groups.values()];
    this.added.clear();
    this.removed.clear();
    this.groups.clear();
    const most = Math.max(added.length, removed.length, groups.length);
    for (let at = 0; at < most; at += FILTERS_PER_MESSAGE) {
      const end = at + FILTERS_PER_MESSAGE;
      this.send({
        reset: false,
        complete: true,
        added: added.slice(at, end),
        removed: removed.slice(at, end),
        groups: groups.slice(at, end),
      });
    }
  }

  private send(what: Partial<wire.SessionInterest>): void {
    if (this.isClosed) return;
    const { partition, epoch, publish } = this.options;
    this.sequence += 1;
    publish(
      subjects.sessionInterest(),
      wire.SessionInterest.encode({
        ...NOTHING,
        partition,
        epoch,
        sequence: this.sequence,
        ...what,
      }).finish(),
    );
  }
}
