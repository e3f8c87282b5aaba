/** Plain numbers that protocols add to; the service folds them into its metrics page when it is read. */

/** Counters by a closed set of labels. `add` is a plain addition. */
export class LabelCounter {
  readonly values = new Map<string, number>();

  /** @param labels joined by `,` in the order that the metric declares */
  add(labels: string, by = 1): void {
    this.values.set(labels, (this.values.get(labels) ?? 0) + by);
  }
}

/** What came and went by one protocol; fields are added to directly. */
export interface Traffic {
  receivedMessages: number;
  receivedBytes: number;
  sentMessages: number;
  sentBytes: number;
}

/** What ports serve TLS with. */
export interface Certificates {
  /** By port: when its certificate ends, in Unix milliseconds. */
  readonly expiryMs: Map<string, number>;
  /** `port,outcome`: changes of certificate files, `loaded` or `refused`. */
  readonly reloads: LabelCounter;
}

/** What happens in the listener's protocols. */
export class ListenerMetrics {
  readonly certificates: Certificates = { expiryMs: new Map(), reloads: new LabelCounter() };
  /** `protocol,reason`: bytes that are not what they should be. */
  readonly malformed = new LabelCounter();
  /** `protocol,code`: connects that were refused. */
  readonly refused = new LabelCounter();
  /** `protocol,reason`: messages for a device or subscriber that could not be written. */
  readonly undelivered = new LabelCounter();
  readonly trafficByProtocol = new Map<string, Traffic>();

  /** Always the same object for a protocol: take it once and add to its fields. */
  traffic(kind: string): Traffic {
    let traffic = this.trafficByProtocol.get(kind);
    if (traffic === undefined) {
      traffic = { receivedMessages: 0, receivedBytes: 0, sentMessages: 0, sentBytes: 0 };
      this.trafficByProtocol.set(kind, traffic);
    }
    return traffic;
  }
}
