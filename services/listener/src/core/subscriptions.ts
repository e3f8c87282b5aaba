/** Who on this listener wants which messages: MQTT filters to subscribers. */

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
  /** Tenant and device it came from. */
  readonly tenant: string;
  readonly deviceId: string;
}

/** Whoever holds subscriptions; usually a connection. */
export interface Subscriber {
  readonly number: number;
  /** Tenant whose messages it may see. */
  readonly identity: { readonly tenant: string };
  /**
   * Called once per message and matching filter, `tag` being what the filter was subscribed with. Must not throw and
   * must not wait: what cannot be written is dropped and counted by the subscriber.
   */
  deliver(message: SubscriberMessage, tag: number): void;
}

/** Filters are MQTT topic filters, `$share/<group>/<filter>` included; checked by the caller. */
export interface Subscriptions {
  /** Holds the filter, replacing the tag when it is held already; true when it is new for this subscriber. */
  add(subscriber: Subscriber, filter: string, tag: number): boolean;
  /** True when it was held. */
  remove(subscriber: Subscriber, filter: string): boolean;
  /** True when one of the subscriber's filters matches the path. */
  wants(subscriber: Subscriber, path: string): boolean;
}
