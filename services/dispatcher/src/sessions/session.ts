/** What a home knows of one session and of the messages that wait for it. */
import type { Deque } from "../core/deque.js";

/** What may wait for one session. */
export interface QueueLimits {
  /** Messages above QoS 0 that wait for one session, those on their way included, and their bytes. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** `refuse`: the new one is dropped; `oldest`: the oldest that is not on its way goes. */
  readonly whenFull: "refuse" | "oldest";
}

/** A message that somebody still needs. */
export interface Message {
  /** Grows with each message of the partition; their order. */
  readonly number: number;
  /** The envelope as a record of a batch, with tag and length; owned. */
  readonly record: Buffer;
  /** Id of the envelope, one character per byte; empty when it has none. */
  readonly id: string;
  /** Unix microseconds; 0: it never expires. */
  readonly expiresAtUs: number;
  /** Key of the shared subscription whose member its one recipient is; empty: its recipients' own filters led to it. */
  readonly group: string;
  readonly entries: Entry[];
  /** Recipients that are not done with it. */
  open: number;
  /** `memory`: only here; `writing`: on its way into the journal; `safe`: recorded. */
  kept: "memory" | "writing" | "safe";
  /** Who is to be told when it is safe or needed no longer. */
  waiters: MessageWaiter[];
}

/** Told once per message it was given. */
export interface MessageWaiter {
  messageDone(): void;
}

/** One message for one session, above QoS 0. */
export interface Entry {
  readonly message: Message;
  readonly session: Session;
  readonly qos: 1 | 2;
  readonly tags: readonly number[];
  /** 0: it was never sent. */
  packetId: number;
  /** QoS 2: the client has it; only PUBREL and PUBCOMP are left. */
  released: boolean;
  /** Of a group: on its way to a member elsewhere, perhaps. */
  offered: boolean;
  /** Done with, or given up. */
  gone: boolean;
}

/** A QoS 2 message of the client, from its PUBLISH to its PUBREL. */
export interface Incoming {
  /** Of its event, one character per byte: stored twice under the same id it is delivered once. */
  readonly id: string;
  /** Known to be stored. Not known: it may be all the same. */
  readonly isStored: boolean;
}

/** Where a session's connection is. */
export interface HolderLink {
  readonly key: string;
}

/** A session that outlives its connection. Fields that few sessions need stay undefined until they do. */
export class Session {
  /** Milliseconds since the Unix epoch since which nothing holds it; 0: a connection does. */
  offlineAtMs = 0;
  /** Seconds; 0xffffffff: never. */
  expirySeconds = 0;
  /** Unix microseconds of its last connect, by the listener's clock. */
  openedAtUs = 0;
  /** The connection; undefined: none. */
  link: HolderLink | undefined = undefined;
  connection = 0;
  /** It was there before the connection. */
  wasPresent = false;
  /** CONNACK was written. Set by `SharedGroups.begun`, whose members are counted by it. */
  begun = false;
  receiveMaximum = 65_535;
  /** Given by admission: which bounds its queue has. */
  label = "";
  /** Its own, which count before those of the label. */
  bounds: QueueLimits | undefined = undefined;
  /** By message number, oldest first. */
  entries: Map<number, Entry> | undefined = undefined;
  /** Those that were not sent on this connection. */
  waiting: Deque<Entry> | undefined = undefined;
  /** By packet identifier, in the order of sending. */
  inflight: Map<number, Entry> | undefined = undefined;
  /** Messages that leave when their packet identifier is recorded. */
  recording = 0;
  bytes = 0;
  /** Messages that found no room here, since the home began. */
  dropped = 0;
  /** By packet identifier, so 65,535 at most, and no more than the receive maximum that the listener has told. */
  incoming: Map<number, Incoming> | undefined = undefined;
  /** Filters that the index does not hold: those of QoS 0, which the listener serves while there is a connection, and of shared groups. */
  unindexed: Map<string, number> | undefined = undefined;
  nextPacketId = 1;

  /** @param number never used again; @param slot small, its place in the index, used again after the session's end */
  constructor(
    readonly number: number,
    readonly slot: number,
    readonly tenant: string,
    readonly client: string,
  ) {}

  get queued(): number {
    return this.entries?.size ?? 0;
  }
}

/** QoS of a filter's tag; see `myelin.session.v1.Filter`. */
export const tagQos = (tag: number): 0 | 1 | 2 => Math.min(tag & 3, 2) as 0 | 1 | 2;
/** Its client does not want its own messages. */
export const tagNoLocal = (tag: number): boolean => (tag & 4) !== 0;
