/** A session that outlives its connection, as the connection that holds it at the moment sees its home; see ADR 0010. */
import type { Identity } from "./admission.js";
import type { SubscriberMessage } from "./subscriptions.js";

/**
 * Packet identifiers below this are given by a session's home, the rest by the listener, for what lives with the connection alone:
 * messages to the device itself, and retained ones. Neither side has to ask the other for a free one.
 */
export const FIRST_LOCAL_PACKET_ID = 0x8000;

/** Session expiry that never comes, in seconds. */
export const NEVER_EXPIRES = 0xffff_ffff;

/** How far the client is with a message that its home has sent. */
export type Progress =
  /** QoS 1 acknowledged, or QoS 2 refused in PUBREC: it is done with, and never sent again. */
  | "acknowledged"
  /** PUBREC: the home records it and then calls `SessionHolder.sendPubrel`. */
  | "received"
  /** PUBCOMP: the identifier is free again. */
  | "completed";

/** Why a session leaves its connection. Nothing that the connection says reaches the session then, but for what follows. */
export type HolderLoss =
  /** The client has connected again, here or elsewhere, and waits: what was stored of its messages, and `closed`, are still to be said. */
  | "taken_over"
  /** Its home is another process now, or was away: the client finds everything as it was when it comes back. */
  | "home_lost"
  /** An operator has deleted the session. */
  | "deleted";

/** A message as its home gives it to the connection; valid during the call only. */
export interface KeptMessage {
  readonly message: SubscriberMessage;
  /** Tags of the filters that led to it. */
  readonly tags: readonly number[];
  /** 1 to 0x7fff above QoS 0; 0 for QoS 0. */
  readonly packetId: number;
  readonly qos: 0 | 1 | 2;
  /** It may have been sent before. */
  readonly dup: boolean;
}

/** What a home asks of the connection that holds a session; the connection itself. */
export interface SessionHolder {
  /** `Connection.number`: what the home calls this connection by. */
  readonly number: number;
  /**
   * Sends a message, or keeps it until the client has room. The home never has more unacknowledged than the client's receive maximum.
   * False: it was dropped and never will be sent, since it has expired or is larger than the client takes: the home is done with it. A
   * connection that is about to end says true, and leaves it to the home.
   */
  deliverKept(kept: KeptMessage): boolean;
  /** For a message of the home: PUBREC is recorded, or this is a connection after the one that had it. */
  sendPubrel(packetId: number): void;
  /** For a QoS 2 message of the client: `KeptSession.receiving` is recorded, so it may be stored. In the order of those calls. */
  incomingRecorded(packetId: number): void;
  /** For a QoS 2 message of the client: `KeptSession.forget` is recorded. */
  sendPubcomp(packetId: number): void;
  /** The session is no longer this connection's: tell the client and close. Called at most once, and not after `closed`. */
  sessionLost(why: HolderLoss): void;
}

/** One filter of a session. */
export interface KeptFilter {
  /** As the client wrote it, `$share/…` included. */
  readonly filter: string;
  /** Bits 0 and 1: its QoS, bit 2: no local; the rest is the listener's. Below 2^32; comes back with every message the filter leads to. */
  readonly tag: number;
}

/** A QoS 2 message of the client that has begun over an earlier connection and is not released. */
export interface IncomingPublish {
  readonly packetId: number;
  /** Of its event, 16 bytes. */
  readonly id: Uint8Array;
  /** Known to be stored. Where it is not, it is stored again under the same id when the client sends it again: the double is removed. */
  readonly isStored: boolean;
}

/** A session in the hands of a connection. What returns nothing does not wait: it is gathered and recorded in batches. */
export interface KeptSession {
  /** It was there before this connection. */
  readonly present: boolean;
  /** Filters it has from before. */
  readonly filters: readonly KeptFilter[];
  /** QoS 2 messages of the client that are not released, in the order in which they began. */
  readonly incoming: readonly IncomingPublish[];
  /** CONNACK is written: what waits for the client may come, by calls of the holder that begin after this one has returned. */
  begin(): void;
  /**
   * Adds or replaces filters; resolves when that is recorded, so that SUBACK may follow.
   * @throws AppError `bus.*`, `request.*`, `limit.filters`, `session.lost`
   */
  subscribe(filters: readonly KeptFilter[]): Promise<void>;
  /** Resolves when it is recorded, with what was there and what was not. @throws AppError as `subscribe` */
  unsubscribe(filters: readonly string[]): Promise<readonly boolean[]>;
  /** The client has answered for an identifier of the home; also for one it was not sent over this connection. */
  progress(packetId: number, progress: Progress, reason: number): void;
  /**
   * A QoS 2 message of the client has come under this identifier and will be stored as an event with this id, 16 bytes that are kept.
   * `SessionHolder.incomingRecorded` follows; nothing may be stored before.
   */
  receiving(packetId: number, id: Uint8Array): void;
  /** The message is stored: PUBREC may be sent before that is recorded, since it is never stored twice. */
  stored(packetId: number): void;
  /** The message was not stored, and the client is told: the identifier is free. */
  refused(packetId: number): void;
  /** PUBREL: the identifier may be used for another message. `SessionHolder.sendPubcomp` follows. */
  forget(packetId: number): void;
  /** The connection is gone, for whatever reason but the loss of the session. @param expirySeconds how long the session stays from now on */
  closed(expirySeconds: number): void;
}

/** What a client that connects asks of its session. */
export interface SessionRequest {
  readonly identity: Identity;
  /** Forget what was there. */
  readonly clean: boolean;
  /** Above 0. */
  readonly expirySeconds: number;
  /** Most messages above QoS 0 without an acknowledgement. */
  readonly receiveMaximum: number;
  /** What may wait for it, in place of what its user's label or the settings say. */
  readonly bounds?: QueueBounds;
}

/** How much may wait for a session. */
export interface QueueBounds {
  /** Messages above QoS 0, those on their way to the client included. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** `refuse`: the new one is dropped; `oldest`: the oldest that is not on its way is. */
  readonly whenFull: "refuse" | "oldest";
}

/** Where sessions that outlive their connections are kept: one per process. */
export interface SessionHomes {
  /**
   * Opens the session of a client, or makes one, and takes it from the connection that has it. `holder` is called only after `begin`,
   * except for `sessionLost`.
   * @throws AppError `request.no_responder`, `request.timeout`, `bus.*`: the home is away, or has no room for the record: the client
   * should come again; `limit.sessions`
   */
  open(request: SessionRequest, holder: SessionHolder): Promise<KeptSession>;
  /** A client has connected without a session that outlives the connection: one that it had before ends. Does not wait; tried until it is done. */
  discard(identity: Identity): void;
}
