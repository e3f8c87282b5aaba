/** Asks the keepers of retained messages for what a new subscription matches, and gives it to the subscriber as fast as it takes it. */
import { type Bus, clearRetained, listRetained, type RetainedList, type Unsubscribe } from "@myelin/bus";
import { BatchView, partitionOf, retained, subjects } from "@myelin/contract";
import { type Backoff, backoff, type Clock, type Component, type Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { RetainedCurrent } from "./retained-current.js";
import type { SubscriberMessage } from "./subscriptions.js";
import { SYS_PREFIX, type SysTopics } from "./sys-topics.js";

/** Who gets the messages. */
export interface RetainedSink {
  /** False: it wants no more of them. Asked for each piece. */
  isOpen(): boolean;
  /** False: not now; whoever says so calls `RetainedFetch.resume` when there is room. Asked for each message. */
  hasRoom(): boolean;
  /** The message is valid during the call only. */
  take(message: SubscriberMessage): void;
  /** Everything there is was given. */
  done(): void;
}

/** One subscription's way through the partitions. */
export interface RetainedFetch {
  /** There may be room now. Cheap. */
  resume(): void;
}

/** What protocols see of retained messages. */
export interface RetainedMessages {
  /** True: there are too many. New ones are to be refused, those that clear a topic are not. */
  readonly isFull: boolean;
  /**
   * Call it when the listener's interest in the filter is known to the dispatchers, or about to be within this turn: what is not among the
   * retained messages then comes as a live one.
   */
  fetch(tenant: string, filter: string, sink: RetainedSink): RetainedFetch;
  /** For operators; @throws as `listRetained`. */
  list(wanted: RetainedList): ReturnType<typeof listRetained>;
  /** For operators: clears what the filter matches, and says how many that were; @throws as `clearRetained`. */
  clear(tenant: string, filter: string): Promise<number>;
  /** A filter of this tenant may match what the broker tells about itself. */
  sysWanted(tenant: string): void;
}

export interface RetainedClientOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly partitions: number;
  /** Set before `start`: what the broker tells about itself. */
  readonly sys: () => Pick<SysTopics, "wanted" | "current">;
}

interface Piece {
  readonly fetch: Fetch;
  readonly partition: number;
  readonly after: string;
}

/** One request at a time goes to a partition's owner; meanwhile the next one grows. */
interface Line {
  readonly waiting: Piece[];
  readonly waits: Backoff;
  isBusy: boolean;
  timer: Timer | undefined;
}

interface Arrived {
  readonly piece: Piece;
  readonly batch: Uint8Array;
  readonly more: boolean;
  /** Where in the batch the first message lies that was not given yet; 0: at its begin. */
  at: number;
  /** Topic of the last one that was. */
  after: string;
}

const WANTS_AT_ONCE = 256;
/** A partition's part of ten thousand small messages, so that asking again is for those who have more. */
const PIECE_BYTES = 256 * 1024;
const ANSWER_WITHIN_MS = 5_000;
/** A keeper says every second whether it is full. */
const FULL_FOR_MS = 3_000;

/** One per process. */
export class RetainedClient implements Component, RetainedMessages {
  readonly name = "retained";
  /** What the keepers have said last, by dispatcher. */
  readonly keepers = new Map<string, retained.KeeperState>();
  /** Requests that were not answered, or not in time; each is repeated. */
  failures = 0;
  readonly view = new BatchView();
  readonly message = new RetainedCurrent(this.view);
  private readonly lines = new Map<number, Line>();
  private fullUntilMs = Number.NEGATIVE_INFINITY;
  private end: Unsubscribe | undefined;
  private isStopped = false;

  constructor(private readonly options: RetainedClientOptions) {}

  async start(): Promise<void> {
    this.isStopped = false;
    this.end = this.options.bus.subscribe(subjects.retainedState(), (data) => {
      const state = retained.KeeperState.decode(data);
      this.keepers.set(state.dispatcher, state);
      if (state.full) this.fullUntilMs = this.options.clock.nowMs() + FULL_FOR_MS;
      else if ([...this.keepers.values()].every(({ full }) => !full))
        this.fullUntilMs = Number.NEGATIVE_INFINITY;
    });
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.end?.();
    for (const line of this.lines.values()) this.options.clock.clear(line.timer);
    this.lines.clear();
  }

  /** Messages that all keepers have, as they have said last. */
  get count(): number {
    let sum = 0;
    for (const { messages } of this.keepers.values()) sum += messages;
    return sum;
  }

  get isFull(): boolean {
    return this.fullUntilMs > this.options.clock.nowMs();
  }

  fetch(tenant: string, filter: string, sink: RetainedSink): RetainedFetch {
    if (filter.startsWith(SYS_PREFIX)) return this.tell(filter, sink);
    const { partitions } = this.options;
    const isWild = /[+#]/.test(filter);
    const asked = isWild ? [...Array(partitions).keys()] : [partitionOf(tenant, filter, partitions)];
    const fetch = new Fetch(this, tenant, filter, sink, asked.length);
    for (const partition of asked) this.ask({ fetch, partition, after: "" });
    return fetch;
  }

  list(wanted: RetainedList): ReturnType<typeof listRetained> {
    return listRetained(this.options.bus, this.options.partitions, wanted);
  }

  clear(tenant: string, filter: string): Promise<number> {
    return clearRetained(this.options.bus, this.options.partitions, { tenant, filter });
  }

  sysWanted(tenant: string): void {
    this.options.sys().wanted(tenant);
  }

  /** Nothing of it is kept anywhere, and it is little. Later, since whoever asks is not ready for it within the call. */
  private tell(filter: string, sink: RetainedSink): RetainedFetch {
    queueMicrotask(() => {
      for (const message of this.options.sys().current(filter)) if (sink.isOpen()) sink.take(message);
      sink.done();
    });
    return { resume: () => undefined };
  }

  /** Queues a question to the owner of a partition. */
  ask(piece: Piece): void {
    let line = this.lines.get(piece.partition);
    if (line === undefined) {
      line = {
        waiting: [],
        waits: backoff({ initialMs: 50, maxMs: 5_000 }),
        isBusy: false,
        timer: undefined,
      };
      this.lines.set(piece.partition, line);
    }
    line.waiting.push(piece);
    if (line.isBusy) return;
    line.isBusy = true;
    // Behind what the subscription tells the dispatchers, which is told in this turn too.
    queueMicrotask(() => void this.send(piece.partition, line));
  }

  reading(err: unknown): void {
    this.options.log.warn(
      { err },
      "an answer with retained messages cannot be read, the rest of it is left out",
    );
  }

  private async send(partition: number, line: Line): Promise<void> {
    while (!this.isStopped && line.waiting.length > 0) {
      const pieces = line.waiting.splice(0, WANTS_AT_ONCE).filter(({ fetch }) => fetch.isOpen);
      if (pieces.length === 0) continue;
      const wants = pieces.map(({ fetch: { tenant, filter }, after }) => ({ tenant, filter, after }));
      const request = retained.QueryRequest.encode({ partition, wants, maxBytes: PIECE_BYTES }).finish();
      let found: readonly retained.Found[];
      try {
        const subject = subjects.retainedQuery(partition);
        const answer = await this.options.bus.request(subject, request, ANSWER_WITHIN_MS);
        found = retained.QueryAnswer.decode(answer).found;
        line.waits.reset();
      } catch (err) {
        this.failures += 1;
        this.options.log.debug({ err, partition }, "retained messages cannot be asked for, will retry");
        line.waiting.unshift(...pieces);
        await this.pause(line);
        continue;
      }
      pieces.forEach((piece, i) => {
        const { batch = new Uint8Array(0), more = false } = found[i] ?? {};
        piece.fetch.arrived(piece, batch, more);
      });
    }
    line.isBusy = false;
  }

  private pause(line: Line): Promise<void> {
    return new Promise((resolve) => {
      line.timer = this.options.clock.setTimeout(resolve, line.waits.nextMs());
    });
  }
}

class Fetch implements RetainedFetch {
  private readonly queue: Arrived[] = [];
  private isGiving = false;

  constructor(
    private readonly client: RetainedClient,
    readonly tenant: string,
    readonly filter: string,
    private readonly sink: RetainedSink,
    /** Partitions that have not given everything yet. */
    private left: number,
  ) {}

  get isOpen(): boolean {
    return this.sink.isOpen();
  }

  arrived(piece: Piece, batch: Uint8Array, more: boolean): void {
    this.queue.push({ piece, batch, more, at: 0, after: piece.after });
    this.resume();
  }

  resume(): void {
    if (this.isGiving) return;
    this.isGiving = true;
    try {
      while (this.queue.length > 0 && this.isOpen && this.give(this.queue[0]!)) this.queue.shift();
    } finally {
      this.isGiving = false;
    }
    if (this.left === 0) this.sink.done();
  }

  /** False: there was no room for all of it. */
  private give(arrived: Arrived): boolean {
    const { piece, batch, more } = arrived;
    const { view, message } = this.client;
    try {
      if (batch.length > 0) {
        view.reset(batch);
        if (arrived.at > 0) view.recordEnd = arrived.at;
        while (view.next()) {
          if (!this.sink.hasRoom()) {
            arrived.at = view.recordStart;
            return false;
          }
          message.take();
          arrived.after = message.path;
          this.sink.take(message);
        }
      }
    } catch (err) {
      this.client.reading(err);
      this.left -= 1;
      return true;
    }
    if (more) this.client.ask({ ...piece, after: arrived.after });
    else this.left -= 1;
    return true;
  }
}
