/** Copies what passes for `myelin tail`: only while somebody looks, only what was asked for, and never more than a share. */
import {
  BatchForwarder,
  type BatchView,
  control,
  globToRegExp,
  type Head,
  isTopicFilter,
  Lane,
  subjects,
  topicMatches,
} from "@myelin/contract";
import type { Clock } from "@myelin/kernel";

interface Interest {
  readonly matches: (head: Head) => boolean;
  readonly maxRate: number;
  heardAtMs: number;
  /** Envelopes it may still get in this second. */
  budget: number;
  leftOut: number;
}

export interface TapOptions {
  readonly clock: Clock;
  readonly instance: string;
  readonly incarnation: number;
  readonly publish: (subject: string, data: Uint8Array) => boolean;
  /** Envelopes a second for a tail that names no rate. */
  readonly defaultRate?: number;
}

const FORGET_AFTER_MS = 3_000;
const MAX_TAILS = 32;
const MAX_RATE = 50_000;
const MAX_KNOWN = 100_000;

/** One per process. Looks at each channel once per set of tails; costs one comparison per batch while nobody looks. */
export class Tap {
  private readonly interests = new Map<string, Interest>();
  private readonly forwarders = new Map<string, BatchForwarder>();
  /** Producer, incarnation and channel to the tails that want it. */
  private known = new Map<string, readonly Interest[]>();

  constructor(private readonly options: TapOptions) {}

  /** True while somebody looks. */
  get active(): boolean {
    return this.interests.size > 0;
  }

  /** Takes the announcement of a tail. */
  announced(interest: control.TapInterest): void {
    const { id } = interest;
    const known = this.interests.get(id);
    if (interest.ended) {
      if (this.interests.delete(id)) this.known = new Map();
      return;
    }
    if (known !== undefined) {
      known.heardAtMs = this.options.clock.nowMs();
      return;
    }
    if (this.interests.size >= MAX_TAILS) return;
    const maxRate = Math.min(MAX_RATE, interest.maxRate || (this.options.defaultRate ?? 2_000));
    this.interests.set(id, {
      matches: compileInterest(interest),
      maxRate,
      heardAtMs: this.options.clock.nowMs(),
      budget: maxRate,
      leftOut: 0,
    });
    this.known = new Map();
  }

  /** Called every second: budgets begin anew, gaps are told, silent tails are forgotten. */
  tick(): void {
    const { clock, instance, publish } = this.options;
    for (const [id, interest] of this.interests) {
      interest.budget = interest.maxRate;
      if (interest.leftOut > 0) {
        const gap = control.TapGap.encode({ dispatcher: instance, leftOut: interest.leftOut }).finish();
        if (publish(subjects.tapGap(id), gap)) interest.leftOut = 0;
      }
      if (clock.nowMs() - interest.heardAtMs < FORGET_AFTER_MS) continue;
      this.interests.delete(id);
      this.known = new Map();
    }
  }

  /** Publishes the envelopes of a batch that some tail wants. The view is rewound and read again. */
  copy(view: BatchView, partition: number): void {
    const event = view.hop.lane === Lane.EVENT;
    const forwarder = this.forwarderOf(partition, event);
    view.rewind();
    while (view.next()) {
      let wanted = false;
      for (const interest of this.wantedBy(view)) {
        if (interest.budget > 0) {
          interest.budget--;
          wanted = true;
        } else interest.leftOut++;
      }
      if (wanted) forwarder.add(view.recordStart, view.recordEnd, 1);
    }
    const copy = forwarder.finish(view);
    if (copy !== undefined) this.options.publish(subjects.tapBatch(partition), copy);
  }

  private wantedBy(view: BatchView): readonly Interest[] {
    if (view.channel === 0) return this.ask(view.head());
    const key = `${view.producer}\0${view.producerIncarnation}\0${view.channel}`;
    let wanting = this.known.get(key);
    if (wanting === undefined) {
      wanting = this.ask(view.head());
      if (this.known.size >= MAX_KNOWN) this.known = new Map();
      this.known.set(key, wanting);
    }
    return wanting;
  }

  private ask(head: Head): readonly Interest[] {
    return [...this.interests.values()].filter((interest) => interest.matches(head));
  }

  private forwarderOf(partition: number, event: boolean): BatchForwarder {
    const key = `${partition}${event}`;
    let forwarder = this.forwarders.get(key);
    if (forwarder === undefined) {
      const { instance, incarnation } = this.options;
      forwarder = new BatchForwarder({
        sender: instance,
        incarnation,
        partition,
        lane: event ? Lane.EVENT : Lane.TELEMETRY,
        target: "tap",
        targetInstance: "",
      });
      this.forwarders.set(key, forwarder);
    }
    return forwarder;
  }
}

function compileInterest({ deviceGlobs, filters, protocols }: control.TapInterest): (head: Head) => boolean {
  const devices = deviceGlobs.map(globToRegExp);
  const valid = filters.filter(isTopicFilter);
  const wanted = new Set<number>(protocols);
  return (head) =>
    (devices.length === 0 || devices.some((pattern) => pattern.test(head.deviceId))) &&
    (filters.length === 0 || valid.some((filter) => topicMatches(filter, head.path))) &&
    (wanted.size === 0 || wanted.has(head.protocol));
}
