/** What acts on the messages of devices beside routing: shadows, commands, rules. Each is a module of the device desk. */
import type { Head, Kind, Protocol } from "@myelin/contract";
import type { Profile, Sample } from "@myelin/profile";
import type { Ownership } from "../core/ports.js";

/** One message of a device, decoded once for all modules. */
export interface DeviceMessage {
  readonly tenant: string;
  readonly device: string;
  readonly path: string;
  readonly kind: Kind;
  readonly protocol: Protocol;
  readonly contentType: string;
  /** Valid during the call only; copy what is kept. */
  readonly payload: Buffer;
  /** 16 bytes, the same at each delivery; valid during the call only. */
  readonly id: Buffer;
  /** Microseconds since 1970; 0: the sender gave none. */
  readonly sourceTimeUs: number;
  readonly ingestTimeUs: number;
  /** Stored by the event stream: what follows from it must be safe before the promise of `onMessage` resolves. */
  readonly isEvent: boolean;
  /** It may have been taken before, perhaps by an earlier owner of the partition. */
  readonly isRedelivered: boolean;
  /** An agent sends what it had kept: never the cause of a command. */
  readonly isReplayed: boolean;
  /** Where the sender wants its answer; empty: nowhere. */
  readonly responsePath: string;
  readonly correlation: Buffer;
  /** Rules whose actions have led to this message, the first one in front; absent or empty for what comes from outside. */
  readonly causes?: readonly string[] | undefined;
  /** The device's profile that is in force; undefined: it has none. */
  readonly profile: Profile | undefined;
  /** What its profile makes of the payload; empty when it has nothing for this path. */
  readonly samples: readonly Sample[];
}

/**
 * A part that lives with the partitions of this process: what it keeps of a partition's devices is loaded when the lease is taken and
 * given up with it. Messages of a partition come in order, and only between the two.
 */
export interface DeviceModule {
  readonly name: string;
  /** Whether messages with this head are for it although the device has no profile: its own topics, or filters of rules. Called once per channel. */
  wants(head: Head): boolean;
  /** Reads what is stored. Messages of the partition wait until it resolves; when it rejects it is tried again, with back-off. */
  acquire(ownership: Ownership, signal: AbortSignal): Promise<void>;
  /** The lease ends. `settle`: it is given up in peace, and what is in memory only may still be written. */
  release(partition: number, settle: boolean): Promise<void>;
  /**
   * Takes a message; must not throw for anything in it. A promise is awaited before the batch is acknowledged: when it rejects with a
   * retryable error the batch comes again to all modules, flagged as redelivered; another error is logged, and the message is done with.
   */
  onMessage(partition: number, message: DeviceMessage): Promise<void> | undefined;
}

/** What is published in the name of a device, or to those who listen to it. It takes the way of every message: routes, subscribers, sessions. */
export interface DevicePublication {
  readonly tenant: string;
  readonly device: string;
  /** MQTT topic. */
  readonly path: string;
  readonly payload: Uint8Array;
  readonly kind: Kind;
  /** MIME type; absent: `application/json`. */
  readonly contentType?: string | undefined;
  readonly retain?: boolean | undefined;
  readonly expiresAtUs?: number | undefined;
  readonly correlation?: Uint8Array | undefined;
  /** As in `DeviceMessage`. */
  readonly causes?: readonly string[] | undefined;
}

/** Publishes into the platform. */
export interface DevicePublisher {
  /** Resolves when the event stream has stored it. @throws AppError `bus.*`, `queue.full`, `contract.bad_envelope` */
  event(publication: DevicePublication): Promise<void>;
  /** May be lost, counted. @throws AppError `contract.bad_envelope` */
  telemetry(publication: DevicePublication): void;
}
