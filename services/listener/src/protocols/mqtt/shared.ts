/** What the connections of one MQTT port share: settings, counters, the packet reader, and the flush at the end of a turn. */
import type { ConnectionScope } from "../../core/connection.js";
import type { Traffic } from "../../core/metrics.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { Outbox } from "./codec/outbox.js";
import { PacketReader } from "./codec/reader.js";
import type { MqttConfig } from "./config.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { RatePatience } from "./rate-patience.js";
import type { RetainedFeed } from "./retained.js";
import { MqttTracer } from "./tracer.js";

const POOLED_OUTBOXES = 64;

/** One per port. */
export class MqttShared {
  readonly reader = new PacketReader();
  readonly counters: Traffic;
  readonly tracer: MqttTracer;
  readonly patience: RatePatience;
  /** Connections that are about to get retained messages. */
  readonly feeds = new Map<MqttConnection, RetainedFeed>();
  private readonly pool: Outbox[] = [];
  private dirty: MqttConnection[] = [];
  private spare: MqttConnection[] = [];

  constructor(
    readonly config: MqttConfig,
    readonly ctx: ProtocolContext,
    readonly scope: ConnectionScope,
  ) {
    this.patience = new RatePatience(config.ratePatience);
    this.counters = ctx.metrics.traffic(scope.kind);
    this.tracer = new MqttTracer(ctx.traces);
  }

  borrow(): Outbox {
    return this.pool.pop() ?? new Outbox();
  }

  giveBack(outbox: Outbox): void {
    if (this.pool.length < POOLED_OUTBOXES) this.pool.push(outbox);
  }

  /** Flushes the connection when the running callback is done: everything written until then goes in one piece. */
  flushLater(connection: MqttConnection): void {
    if (this.dirty.length === 0) queueMicrotask(this.flushAll);
    this.dirty.push(connection);
  }

  private readonly flushAll = (): void => {
    const list = this.dirty;
    this.dirty = this.spare;
    this.spare = list;
    for (const connection of list) connection.flush();
    list.length = 0;
  };
}
