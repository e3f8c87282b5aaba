/** What services use of the bus; the implementation is in `nats/`. */
import type { BatchView, Channel, EnvelopeExtras } from "@myelin/contract";
import type { AppError, Component } from "@myelin/kernel";

/**
 * Called for each message of a subscription. `data` may be kept, unless the subscription is `transient`; it may share memory
 * with its neighbours, so who keeps a small piece for long copies it.
 */
export type MessageHandler = (data: Uint8Array, subject: string, reply: string | undefined) => void;

/** How a subscription is delivered. */
export interface SubscribeOptions {
  /** Subscribers of one subject and one queue name share its messages. */
  readonly queue?: string | undefined;
  /** `data` is overwritten after the handler returns: for handlers that keep nothing of it. Saves a copy per message. */
  readonly transient?: boolean | undefined;
  /**
   * No other process subscribes to this subject. Messages published in this process are then handed over without leaving
   * it, in order, after the publisher's turn; `data` is the publisher's own.
   */
  readonly only?: boolean | undefined;
}

/** Ends a subscription; safe twice. */
export type Unsubscribe = () => void;

/** A subscription: calling it ends it at once, and what the server has already sent is thrown away. */
export interface Subscription {
  (): void;
  /**
   * Ends it without loss: resolves when the server sends no more and everything it had sent was handled. For a handover:
   * senders learn of the end (`no responder`) exactly from the first message on that was not handled here.
   */
  drain(): Promise<void>;
}

/** One connection to NATS that never gives up. Publishing while it is away throws nothing and is counted. */
export interface Bus extends Component {
  /** This process's stable name and the random number of this start. */
  readonly instance: string;
  readonly incarnation: number;
  /** True while NATS answers. */
  readonly connected: boolean;
  onConnectionChange(listener: (connected: boolean) => void): Unsubscribe;
  /** Largest message the server takes, headers included; known once connected. */
  readonly maxPayloadBytes: number;
  /**
   * Core NATS, at most once; false when it was dropped because NATS is away, too much waits to be written, or the message
   * is over `maxPayloadBytes`. `data` is kept until written: do not change it.
   */
  publish(subject: string, data: Uint8Array, reply?: string): boolean;
  subscribe(subject: string, handler: MessageHandler, options?: SubscribeOptions): Subscription;
  /** @throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder` */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** Collects answers until `timeoutMs` has passed, or `maxAnswers` came, or 150 ms passed without one. */
  requestMany(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs: number; maxAnswers?: number },
  ): Promise<Uint8Array[]>;
  /** Answers requests; the handler's rejection travels as a wire error and is thrown by the asker's `request`. */
  serve(
    subject: string,
    handler: (data: Uint8Array, subject: string) => Promise<Uint8Array> | Uint8Array,
    options?: { queue?: string },
  ): Subscription;
  /** A subject that nobody else uses, and below which nobody else listens: for answers. */
  newInbox(): string;
  /** Resolves when everything published so far has reached the server. @throws AppError `bus.disconnected`, `bus.timeout` */
  flush(): Promise<void>;
  /** Milliseconds; the last round trip. */
  rttMs(): Promise<number>;
}

/** Drops of a sender, by reason; plain numbers for the ledger and metrics. */
export interface SenderCounters {
  received: number;
  forwarded: number;
  stored: number;
  dropped: Record<string, number>;
  /** Envelopes in builders and on the way without an answer. */
  queued(): number;
}

/** Puts messages of the telemetry lane onto the partitions. */
export interface TelemetrySender extends Component {
  readonly counters: SenderCounters;
  /** True: inputs should stop reading until `onCongestion(false)`. Appending still works, bounded. */
  readonly congested: boolean;
  onCongestion(listener: (congested: boolean) => void): Unsubscribe;
  /** The hot path: copies the payload; flushes by size or when the event loop turns. */
  append(channel: Channel, source: Uint8Array, start: number, end: number): void;
  appendWith(channel: Channel, source: Uint8Array, start: number, end: number, extras: EnvelopeExtras): void;
  flush(): void;
}

/** Puts messages of the event lane into the stream and says when they are stored. */
export interface EventSender extends Component {
  readonly counters: SenderCounters;
  readonly congested: boolean;
  onCongestion(listener: (congested: boolean) => void): Unsubscribe;
  /**
   * As TelemetrySender.append. The ticket is told, once, what became of the message: pass a shared object (the connection, the
   * request), not a new one per message. `number` is a plain value kept beside it (an MQTT packet id, an index).
   */
  append(
    channel: Channel,
    source: Uint8Array,
    start: number,
    end: number,
    ticket: EventTicket,
    number: number,
    extras?: EnvelopeExtras,
  ): void;
  flush(): void;
}

/** Told the outcome of events; usually the connection or the request that brought them. */
export interface EventTicket {
  /**
   * The events with these numbers have the same outcome: stored (error undefined) or refused. Called per batch, per run of
   * events of one ticket, in the order of appending within a partition (only events refused because the sender itself is full
   * may overtake); never during `append`. `numbers[from..to)` must be read during the call.
   */
  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void;
}

/** One batch of the event stream in the owner's hands. */
export interface EventDelivery {
  readonly data: Buffer;
  readonly streamSequence: number;
  /** An owner before this one, or an earlier try, may have worked on it. */
  readonly redelivered: boolean;
  /** The owner is done with it: it may be forgotten. Safe twice, and after the consumer has stopped. */
  ack(): void;
  /** Not now: the handler gets it again after `delayMs`. It stays in hand meanwhile; later batches pass it. */
  nak(delayMs: number): void;
}

/**
 * Takes the batches of one partition in stream order; bounded in messages and bytes in hand. Batches may be acknowledged in any
 * order and may take as long as they need. After a reconnect it goes on where it was.
 */
export interface EventConsumer extends Component {
  /** Set before `start`. */
  onDelivery(handler: (delivery: EventDelivery) => void): void;
  /** Asks for no more; what was asked for already still comes. */
  pause(): void;
  resume(): void;
  /** Batches delivered and not acknowledged. */
  readonly pending: number;
  /** True: what the stream held of the partition when this was called was delivered here. @throws AppError `bus.*` */
  hasAll(): Promise<boolean>;
  /**
   * Stops taking, waits until everything in hand is acknowledged and NATS knows it. For a handover.
   * False when `deadlineMs` passed first: the rest goes to the next owner, flagged `redelivered`.
   */
  drain(deadlineMs: number): Promise<boolean>;
}

/** Stores batches in a stream one at a time or several in flight; used for overflow and unrouted. */
export interface StreamWriter {
  /** Resolves with the stream sequence. @throws AppError `bus.stream_full`, `bus.timeout`, `bus.disconnected` */
  store(subject: string, data: Uint8Array, messageId: string): Promise<number>;
}

/** A partition's lease as this instance sees it. */
export interface Ownership {
  readonly partition: number;
  /** Revision at which the lease was taken: grows with every change of owner. */
  readonly epoch: number;
  /**
   * False from the moment on at which another instance might own the partition, by this process's monotonic clock. Cheap: ask before
   * acting on a batch; a process that was frozen learns it here before any timer has told it.
   */
  readonly held: boolean;
}

/** Why a partition is given up. `lost`: another may own it already; stop at once. */
export type ReleaseReason = "handover" | "lost" | "stop";

/** Takes, renews and releases partition leases, balanced among the live instances of its service. */
export interface PartitionOwner extends Component {
  readonly owned: ReadonlyMap<number, Ownership>;
  /**
   * Set before `start`. `acquired` may be slow (it loads state); `released` must stop work first and resolves when nothing is under
   * way; with `handover` and `stop` the lease is kept meanwhile, for at most 5 s. Per partition they never overlap.
   */
  onChange(handlers: {
    acquired(ownership: Ownership): Promise<void>;
    released(ownership: Ownership, reason: ReleaseReason): Promise<void>;
  }): void;
}

/** A named lease as this instance sees it; `epoch` and `held` as in `Ownership`. */
export interface NamedLease {
  readonly name: string;
  readonly epoch: number;
  readonly held: boolean;
}

/** Work that one instance of a service does at a time, by name; whoever lives and is preferred by the name's hash takes it. */
export interface NamedLeases extends Component {
  readonly held: readonly NamedLease[];
  /** These names, and no others, are striven for from now on; before `start` as well. The work of those that are left out is ended. */
  want(names: Iterable<string>): void;
  /** Set before `start`. As `PartitionOwner.onChange`, per name. */
  onChange(handlers: {
    acquired(lease: NamedLease): Promise<void>;
    released(lease: NamedLease, reason: ReleaseReason): Promise<void>;
  }): void;
}

/** What is known of a live instance of a service. */
export interface LiveInstance {
  readonly instance: string;
  readonly incarnation: number;
  readonly draining: boolean;
  readonly version: string;
  /** Since when it has been heard without a break, by this process's monotonic clock. */
  readonly sinceMs: number;
}

/** The instances of a service that were heard of within 3 s. */
export interface Liveness extends Component {
  readonly instances: ReadonlyMap<string, LiveInstance>;
  /** `gone` is told of an instance that fell silent, and of the old incarnation when one restarts. */
  onChange(handlers: {
    came?(instance: LiveInstance): void;
    gone?(instance: LiveInstance): void;
  }): Unsubscribe;
}

/** Says every second that this instance lives. */
export interface Heartbeat extends Component {
  /** Told to the others at once: give this instance nothing new. */
  setDraining(draining: boolean): void;
}

/** One value of a bucket. */
export interface KeyValueEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
}

/** Small consistent store on NATS. Everything throws AppError `bus.*` when NATS is away or refuses. */
export interface KeyValue {
  get(key: string): Promise<KeyValueEntry | undefined>;
  /** @throws AppError `store.conflict` when the revision is not `expected` (0: must not exist) */
  put(key: string, value: Uint8Array, expected?: number): Promise<number>;
  /**
   * Writes many, all or none of them, each as `put` with `expected`; the revisions are in their order. Keys are different, at most 1,000. Only for
   * buckets that are said to be atomic.
   */
  putAll(
    entries: readonly { readonly key: string; readonly value: Uint8Array; readonly expected: number }[],
  ): Promise<readonly number[]>;
  /** @throws AppError `store.conflict` when the revision is not `expected`; left out, whatever it is */
  delete(key: string, expected?: number): Promise<void>;
  /** Removes what was written up to the revision, without a trace; what was written since stays. */
  erase(key: string, revision: number): Promise<void>;
  /** The values whose key begins with `<prefix>.`, in the order of writing, behind the revision `after`; for buckets of any size. What is written meanwhile may be among them. */
  scan(prefix: string, signal: AbortSignal, after?: number): AsyncIterable<KeyValueEntry>;
  /** When the bucket was made, and the revision of the last write to it. */
  end(): Promise<{ readonly created: string; readonly lastRevision: number }>;
  /** All values there are; for small buckets. */
  entries(): Promise<KeyValueEntry[]>;
  /** All values, then every change; after NATS was away all values again. `value` is undefined for a deleted key. */
  watch(signal: AbortSignal): AsyncIterable<{ key: string; value: Uint8Array | undefined; revision: number }>;
}

/** Where a link stands, for whoever takes over from this reader. Plain data, fit for JSON. */
export interface LinkPosition {
  readonly key: string;
  readonly sender: string;
  readonly incarnation: number;
  readonly epoch: number;
  readonly start: number;
  readonly sequence: number;
  readonly ordinal: number;
}

/** Reads the link header of received batches and books gaps. Plain counts of envelopes, for the ledger. */
export interface LinkReader {
  /** Accepts a batch; false when it is a double or of an older epoch. Gaps are booked as `lost_in_transit`. */
  accept(view: BatchView): boolean;
  readonly lostInTransit: number;
  readonly doubled: number;
  /** What the next owner must know to book gaps over the change; `restore` before its first batch. */
  positions(): LinkPosition[];
  restore(positions: readonly LinkPosition[]): void;
}

/** Acknowledges the batches of a link to their producers, cumulatively. */
export interface LinkAcker extends Component {
  /** Call when a batch has been taken, in the order of the link. */
  consumed(view: BatchView): void;
  /** Sends what is due now instead of within 100 ms: before a partition is handed over. */
  flush(): void;
}
