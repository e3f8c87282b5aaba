/** The topics below `$SYS/broker`: counted over all listeners, told at intervals to those who have subscribed to them. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { subjects, sys, topicMatches } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { SubscriptionTable } from "./subscription-table.js";
import type { SubscriberMessage } from "./subscriptions.js";
import { type Figures, LoadAverages, sysValues } from "./sys-values.js";

/** What begins with this is told by the broker alone: clients may not publish to it. */
export const SYS_PREFIX = "$SYS/";

export interface SysTopicsOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly version: string;
  readonly table: Pick<SubscriptionTable, "match">;
  /** 0: there are no such topics. */
  readonly intervalMs: number;
  /** What this listener has counted so far. */
  readonly count: () => Figures;
  /** Retained messages of the deployment. */
  readonly retained: () => number;
}

/** Tenants of which somebody has subscribed; more are told nothing. */
const MAX_TENANTS = 10_000;
/** A listener that has said nothing for so many intervals is gone. */
const GONE_AFTER = 3;

/** One per process. Nothing is put together while nobody on this listener has subscribed. */
export class SysTopics implements Component {
  readonly name = "sys-topics";
  private readonly heard = new Map<string, { readonly figures: sys.SysFigures; readonly atMs: number }>();
  private readonly tenants = new Set<string>();
  private readonly loads = new LoadAverages();
  private readonly startedMs: number;
  private maximum = 0;
  private timer: Timer | undefined;
  private end: Unsubscribe | undefined;

  constructor(private readonly options: SysTopicsOptions) {
    this.startedMs = options.clock.nowMs();
  }

  async start(): Promise<void> {
    const { bus, clock, intervalMs } = this.options;
    if (intervalMs === 0) return;
    this.end = bus.subscribe(subjects.sysFigures(), (data) => {
      const figures = sys.SysFigures.decode(data);
      this.heard.set(figures.listener, { figures, atMs: clock.nowMs() });
    });
    this.timer = clock.setInterval(() => this.tick(), intervalMs).unref();
  }

  async stop(): Promise<void> {
    this.options.clock.clear(this.timer);
    this.end?.();
  }

  /** Somebody of this tenant has subscribed to such a topic. */
  wanted(tenant: string): void {
    if (this.tenants.size < MAX_TENANTS) this.tenants.add(tenant);
  }

  /** What a new subscriber gets at once, as with retained messages. */
  current(filter: string): SubscriberMessage[] {
    if (this.options.intervalMs === 0) return [];
    return this.messages().filter(({ path }) => topicMatches(filter, path));
  }

  private tick(): void {
    const { bus, clock, intervalMs } = this.options;
    const own = this.own();
    bus.publish(subjects.sysFigures(), sys.SysFigures.encode(own).finish());
    for (const [listener, { atMs }] of this.heard) {
      if (clock.nowMs() - atMs > GONE_AFTER * intervalMs) this.heard.delete(listener);
    }
    this.loads.add(this.total(own), clock.nowMs());
    if (this.tenants.size > 0) this.tell();
  }

  private tell(): void {
    const { table } = this.options;
    const messages = this.messages();
    for (const tenant of this.tenants) {
      let isWanted = false;
      for (const message of messages) {
        for (const { subscriber, tags } of table.match(tenant, message.path).targets) {
          isWanted = true;
          subscriber.deliver(message, tags);
        }
      }
      if (!isWanted) this.tenants.delete(tenant);
    }
  }

  private own(): sys.SysFigures {
    const { bus, clock, count } = this.options;
    const figures = count();
    this.maximum = Math.max(this.maximum, figures.clientsConnected);
    return {
      listener: bus.instance,
      incarnation: bus.incarnation,
      uptimeSeconds: Math.floor((clock.nowMs() - this.startedMs) / 1_000),
      clientsMaximum: this.maximum,
      ...figures,
    };
  }

  private total(own: sys.SysFigures): sys.SysFigures {
    const total = { ...own };
    for (const [listener, { figures }] of this.heard) {
      if (listener === own.listener) continue;
      total.uptimeSeconds = Math.max(total.uptimeSeconds, figures.uptimeSeconds);
      for (const key of SUMMED) total[key] += figures[key];
    }
    return total;
  }

  private messages(): SubscriberMessage[] {
    const { version, retained } = this.options;
    const values = sysValues(this.total(this.own()), { version, retained: retained() });
    return [...values, ...this.loads.values()].map(([topic, value]) => messageOf(topic, value));
  }
}

const SUMMED = [
  "clientsConnected",
  "clientsMaximum",
  "connects",
  "messagesReceived",
  "messagesSent",
  "bytesReceived",
  "bytesSent",
  "publishReceived",
  "publishDropped",
  "subscriptions",
] as const;

function messageOf(topic: string, value: string): SubscriberMessage {
  const bytes = Buffer.from(value);
  return {
    path: `${SYS_PREFIX}broker/${topic}`,
    bytes,
    payloadStart: 0,
    payloadEnd: bytes.length,
    contentType: "",
    qos: 0,
    retain: true,
    tenant: "",
    deviceId: "",
    extras: () => undefined,
  };
}
