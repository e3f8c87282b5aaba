/** Who looks at packets of which clients and topics, and what they are sent; nothing runs while nobody looks. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { isTopicFilter, ops, subjects, topicMatches } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { Identity } from "./admission.js";
import { DEFAULT_TRACE_RATE, MAX_TRACE_RATE, MAX_TRACED_PAYLOAD } from "./operations-tracing.js";

const TICK_MS = 100;
const TICKS_PER_SECOND = 10;
/** A tracer announces itself every second. */
const FORGET_AFTER_MS = 3_000;
const MAX_TRACERS = 16;
const MAX_NAMES = 100;
/** Then what was gathered is sent without waiting for the tick. */
const BATCH_BYTES = 128 * 1024;
const PACKET_BYTES = 200;

/** One who looks. */
export interface Tracer {
  readonly id: string;
  /** Undefined: all tenants. */
  readonly tenant: string | undefined;
  readonly clients: ReadonlySet<string>;
  readonly filters: readonly string[];
  readonly payloadBytes: number;
}

interface Looking extends Tracer {
  readonly maxRate: number;
  heardAtMs: number;
  /** Packets that it may still get in this second. */
  budget: number;
  leftOut: number;
  packets: ops.TracedPacket[];
  bytes: number;
}

/** One per listener. Protocols ask `isActive` per chunk, and the rest only then. */
export class TraceHub implements Component {
  readonly name = "trace";
  /** True while somebody looks. */
  isActive = false;
  /** Grows when somebody comes or goes: answers of `followersOf` may be others now. */
  generation = 0;
  private readonly tracers = new Map<string, Looking>();
  /** Clients that anybody follows. */
  private names: ReadonlySet<string> = new Set();
  private followsTopics = false;
  private end: Unsubscribe | undefined;
  private timer: Timer | undefined;
  private ticks = 0;

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
  ) {}

  async start(): Promise<void> {
    this.end = this.bus.subscribe(subjects.traceInterest(), (data) => {
      let interest: ops.TraceInterest;
      try {
        interest = ops.TraceInterest.decode(data);
      } catch {
        // Of a version to come: it announces itself again, and nobody here can do anything for it.
        return;
      }
      this.announced(interest);
    });
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
    this.tracers.clear();
    this.changed();
  }

  /** Might anybody want to see packets of this client? Cheap; false is certain. */
  mayFollow({ deviceId, clientId }: Identity): boolean {
    const { names } = this;
    return this.followsTopics || names.has(deviceId) || (clientId !== undefined && names.has(clientId));
  }

  /** Those who follow this client, whatever it sends. */
  followersOf({ tenant, deviceId, clientId }: Identity): readonly Tracer[] {
    return [...this.tracers.values()].filter(
      (tracer) =>
        (tracer.tenant === undefined || tracer.tenant === tenant) &&
        (tracer.clients.has(deviceId) || (clientId !== undefined && tracer.clients.has(clientId))),
    );
  }

  /** Those who follow a client of this name that was not let in: only who may see all tenants, since it has none. */
  followersOfStranger(clientId: string): readonly Tracer[] {
    return [...this.tracers.values()].filter(
      ({ tenant, clients }) => tenant === undefined && clients.has(clientId),
    );
  }

  /** Those who follow topics of the tenant. */
  topicFollowersOf(tenant: string): readonly Tracer[] {
    return [...this.tracers.values()].filter(
      (tracer) => tracer.filters.length > 0 && (tracer.tenant === undefined || tracer.tenant === tenant),
    );
  }

  /** Within its rate the packet is made and sent; beyond it, counted. */
  show(tracer: Tracer, make: (tracer: Tracer) => ops.TracedPacket): void {
    const looking = this.tracers.get(tracer.id);
    if (looking === undefined) return;
    if (looking.budget === 0) {
      looking.leftOut += 1;
      return;
    }
    looking.budget -= 1;
    const packet = make(looking);
    looking.packets.push(packet);
    looking.bytes += PACKET_BYTES + packet.payload.length + packet.topic.length + packet.detail.length;
    if (looking.bytes > BATCH_BYTES) this.send(looking);
  }

  private announced(interest: ops.TraceInterest): void {
    const { id } = interest;
    const known = this.tracers.get(id);
    if (interest.ended) {
      if (known !== undefined) this.send(known);
      if (this.tracers.delete(id)) this.changed();
      return;
    }
    if (known !== undefined) {
      known.heardAtMs = this.clock.nowMs();
      return;
    }
    if (this.tracers.size >= MAX_TRACERS) return;
    const maxRate = Math.min(MAX_TRACE_RATE, interest.maxRate || DEFAULT_TRACE_RATE);
    this.tracers.set(id, {
      id,
      tenant: interest.tenant?.name,
      clients: new Set(interest.clients.slice(0, MAX_NAMES)),
      filters: interest.filters.filter(isTopicFilter).slice(0, MAX_NAMES),
      payloadBytes: Math.min(interest.payloadBytes, MAX_TRACED_PAYLOAD),
      maxRate,
      heardAtMs: this.clock.nowMs(),
      budget: maxRate,
      leftOut: 0,
      packets: [],
      bytes: 0,
    });
    this.changed();
  }

  private changed(): void {
    this.generation += 1;
    const all = [...this.tracers.values()];
    this.isActive = all.length > 0;
    this.names = new Set(all.flatMap(({ clients }) => [...clients]));
    this.followsTopics = all.some(({ filters }) => filters.length > 0);
    if (this.isActive) this.timer ??= this.clock.setInterval(() => this.tick(), TICK_MS).unref();
    else {
      this.clock.clear(this.timer);
      this.timer = undefined;
    }
  }

  private tick(): void {
    this.ticks += 1;
    const isSecond = this.ticks % TICKS_PER_SECOND === 0;
    for (const looking of this.tracers.values()) {
      if (isSecond) looking.budget = looking.maxRate;
      if (looking.packets.length > 0 || (isSecond && looking.leftOut > 0)) this.send(looking);
      if (this.clock.nowMs() - looking.heardAtMs < FORGET_AFTER_MS) continue;
      this.tracers.delete(looking.id);
      this.changed();
    }
  }

  private send(looking: Looking): void {
    const { packets, leftOut } = looking;
    if (packets.length === 0 && leftOut === 0) return;
    looking.packets = [];
    looking.bytes = 0;
    const batch = ops.TraceBatch.encode({ listener: this.bus.instance, packets, leftOut }).finish();
    const sent = this.bus.publish(subjects.traceBatch(looking.id), batch);
    looking.leftOut = sent ? 0 : leftOut + packets.length;
  }
}

/** Does the tracer follow this topic? */
export function followsTopic({ filters }: Tracer, topic: string): boolean {
  return filters.some((filter) => topicMatches(filter, topic));
}
