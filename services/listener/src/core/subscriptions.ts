/** Who on this listener wants which messages: MQTT filters to subscribers. */

import type { Identity } from "./admission.js";
import type { Pressure } from "./pressure.js";

/** One message on its way to a subscriber; valid during the call only. */
export interface SubscriberMessage {
  readonly path: string;
  /** The payload is `bytes[payloadStart, payloadEnd)`. */
  readonly bytes: Buffer;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly contentType: string;
  /** QoS it was published with; 1 and above came by the event lane. */
  readonly qos: number;
  readonly retain: boolean;
  /** Tenant and device it came from. */
  readonly tenant: string;
  readonly deviceId: string;
  /** When a listener took it, in microseconds since the Unix epoch; absent where that is not known. */
  readonly ingestTimeUs?: number;
  /**
   * This process has given it to its subscribers before, which an owner of its partition that has just begun cannot know: who asked for
   * exactly once has it already. Absent: it has not.
   */
  readonly isDouble?: boolean;
  /** What few messages carry, decoded when asked for; undefined when there is none of it. */
  extras(): SubscriberExtras | undefined;
}

/** Fields that travel with a message and are given on where the protocol can. */
export interface SubscriberExtras {
  readonly expiresAtUs: number;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly responsePath: string;
  readonly correlation: Uint8Array;
  /** The sender says that the payload is UTF-8. */
  readonly isText: boolean;
}

/**
 * Given with messages that others could take as well: to be called with a copy of one that was sent, but not acknowledged when the client
 * went for good. False: nobody took it.
 */
export type GiveBack = (message: SubscriberMessage) => boolean;

/** Whoever holds subscriptions; usually a connection. */
export interface Subscriber {
  readonly number: number;
  /** Its tenant's messages are all it may see. */
  readonly identity: Identity;
  /**
   * Called once per message, `tags` being what its matching filters were subscribed with, at least one. Must not throw and
   * must not wait: what cannot be written is dropped and counted by the subscriber. False: it was dropped.
   */
  deliver(message: SubscriberMessage, tags: readonly number[], giveBack?: GiveBack): boolean;
  /** True: messages for it wait already; others of its group are served first. Absent: never. */
  readonly isBusy?: boolean;
  /** True, of one that is busy: so much waits for it that events for a group it is in are held back, unless another member takes them. */
  readonly isFull?: boolean;
  /** Its client may hold this filter no longer; it was removed already. The client is told, by a goodbye where the protocol has no other way. */
  revoked(filter: string): void;
}

/** One subscriber with the tags of its filters that matched. */
export interface Target {
  readonly subscriber: Subscriber;
  readonly tags: readonly number[];
}

/** What became of a subscription; `full`: this listener can hold no further filter, and nothing has changed. */
export type SubscribeOutcome = "added" | "replaced" | "full";

/** Filters are MQTT topic filters, `$share/<group>/<filter>` included; checked by the caller. */
export interface Subscriptions {
  /** Where subscribers say that too much waits for them. */
  readonly pressure: Pressure;
  /** Holds the filter, replacing the tag when the subscriber holds it already. A tag is a whole number below 2^32. */
  add(subscriber: Subscriber, filter: string, tag: number): SubscribeOutcome;
  /** True when it was held. */
  remove(subscriber: Subscriber, filter: string): boolean;
  /** Forgets the subscriber with all its filters. */
  removeAll(subscriber: Subscriber): void;
  /** Filters that the subscriber holds. */
  countOf(subscriber: Subscriber): number;
  holds(subscriber: Subscriber, filter: string): boolean;
  /**
   * Resolves when what any listener takes from then on reaches what was added so far; or after a deadline, when a dispatcher does not answer.
   * Undefined: it does already.
   */
  settled(): Promise<void> | undefined;
  /** Tags of the subscriber's filters that match the path. */
  tagsOf(subscriber: Subscriber, path: string): readonly number[];
}
