/** Plain numbers that protocols add to; the service folds them into its metrics page when it is read. */

/** Counters by a closed set of labels. `add` is a plain addition. */
export class LabelCounter {
  readonly values = new Map<string, number>();

  /** @param labels joined by `,` in the order that the metric declares */
  add(labels: string, by = 1): void {
    this.values.set(labels, (this.values.get(labels) ?? 0) + by);
  }
}

/** What happens in the listener's protocols. */
export class ListenerMetrics {
  /** `protocol,reason`: bytes that are not what they should be. */
  readonly malformed = new LabelCounter();
  /** `protocol,code`: connects that were refused. */
  readonly refused = new LabelCounter();
  /** `protocol`: messages and bytes that came in. */
  readonly receivedBytes = new LabelCounter();
  readonly receivedMessages = new LabelCounter();
  /** `protocol`: what was written to devices. */
  readonly sentBytes = new LabelCounter();
  readonly sentMessages = new LabelCounter();
  /** `protocol,reason`: messages for a device or subscriber that could not be written. */
  readonly undelivered = new LabelCounter();
}
