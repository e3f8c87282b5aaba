/** All connections of the process: how many there may be, when they are looked at, who waits, and how they end. */
import type { Clock, Timer } from "@myelin/kernel";
import { type Connection, type DisconnectReason, HOLD, NOBODY } from "./connection.js";
import type { DeviceRates } from "./device-rates.js";
import { DisconnectLog } from "./disconnect-log.js";
import { Doors } from "./doors.js";
import type { GlobalLimits } from "./limits.js";
import { TimingWheel, ticksOf } from "./timing-wheel.js";
import { TurnShare } from "./turn-share.js";
import { TurnedAway } from "./turned-away.js";

const RATE_TICK_MS = 20;
const LONGEST_RATE_WAIT_MS = 60_000;

/** Plain numbers for metrics. */
export interface ConnectionCounters {
  accepted: Record<string, number>;
  active: Record<string, number>;
  refused: Record<string, number>;
  /** By kind, then reason. */
  disconnects: Record<string, Partial<Record<DisconnectReason, number>>>;
  /** By kind: bytes that were kept for a connection when it ended, and went with it unread. */
  lostBytes: Record<string, number>;
}

/** Why a new transport is not taken. */
export type TransportRefusal = "connections" | "address" | "draining";

export class ConnectionManager {
  readonly wheel: TimingWheel;
  readonly disconnects: DisconnectLog;
  readonly doors: Doors;
  readonly turns: TurnShare;
  readonly turnedAway: TurnedAway;
  readonly counters: ConnectionCounters = {
    accepted: {},
    active: {},
    refused: {},
    disconnects: {},
    lostBytes: {},
  };
  draining = false;

  private readonly all: Connection[] = [];
  private readonly perAddress = new Map<string, number>();
  private congestedConnections = new Set<Connection>();
  private heldBytes = 0;
  /** With the time to release them. */
  private readonly tooFast = new Map<Connection, number>();
  private rateTimer: Timer | undefined;
  private nextNumber = 1;
  private drained: (() => void) | undefined;

  constructor(
    readonly clock: Clock,
    readonly limits: GlobalLimits,
    private readonly isCongested: () => boolean,
    /** Absent: devices have no rate of their own. */
    readonly deviceRates?: DeviceRates,
    /** Messages for subscribers that have come so far, of all of which inputs leave their part of a turn. */
    deliveries: () => number = () => 0,
  ) {
    this.wheel = new TimingWheel(clock);
    this.turns = new TurnShare(isCongested, deliveries, (connection) =>
      this.letGo(connection, connection.heldBytes),
    );
    this.turnedAway = new TurnedAway(clock);
    this.doors = new Doors(clock, limits.maxSockets ?? Number.POSITIVE_INFINITY);
    this.disconnects = new DisconnectLog(limits.rememberedDisconnects);
  }

  get size(): number {
    return this.all.length;
  }

  start(): void {
    this.wheel.start();
  }

  stop(): void {
    this.turnedAway.stop();
    this.wheel.stop();
    this.clock.clear(this.rateTimer);
    this.rateTimer = undefined;
  }

  /** Asked before anything is read from a new transport; counts the refusal. */
  refusalOf(address: string): TransportRefusal | undefined {
    let refusal: TransportRefusal | undefined;
    if (this.draining) refusal = "draining";
    else if (this.all.length >= this.limits.maxConnections) refusal = "connections";
    else if ((this.perAddress.get(address) ?? 0) >= this.limits.maxConnectionsPerAddress) refusal = "address";
    if (refusal !== undefined) bump(this.counters.refused, refusal);
    return refusal;
  }

  /** A new transport was closed by whoever looked at it before us; `reason` is a metric label. */
  noteRefused(reason: string): void {
    bump(this.counters.refused, reason);
  }

  /** For what a connection speaks for under a name of its own, such as a child device: from the same row as the connections' own. */
  takeNumber(): number {
    return this.nextNumber++;
  }

  /** Takes the connection in: numbers it and starts its first-packet deadline. */
  add(connection: Connection): void {
    connection.number = this.takeNumber();
    connection.slot = this.all.length;
    this.all.push(connection);
    this.perAddress.set(connection.address, (this.perAddress.get(connection.address) ?? 0) + 1);
    const { kind, limits } = connection.scope;
    bump(this.counters.accepted, kind);
    bump(this.counters.active, kind);
    connection.seenTick = this.wheel.now;
    this.wheel.schedule(connection, ticksOf(limits.firstPacketMs));
  }

  /** The transport is gone: once per connection, later calls do nothing. */
  remove(connection: Connection, reason: DisconnectReason): void {
    if (connection.slot < 0) return;
    connection.gone = true;
    this.wheel.cancel(connection);
    // Clients that come and go while NATS is away must not pile up here.
    this.congestedConnections.delete(connection);
    this.tooFast.delete(connection);
    this.turns.forget(connection);
    if (connection.heldBytes > 0) this.lose(connection, connection.heldBytes);
    const last = this.all.pop()!;
    if (last !== connection) {
      this.all[connection.slot] = last;
      last.slot = connection.slot;
    }
    connection.slot = -1;
    const { kind } = connection.scope;
    bump(this.counters.active, kind, -1);
    this.counters.disconnects[kind] ??= {};
    bump(this.counters.disconnects[kind] as Record<string, number>, reason);
    const left = (this.perAddress.get(connection.address) ?? 1) - 1;
    if (left > 0) this.perAddress.set(connection.address, left);
    else this.perAddress.delete(connection.address);
    if (connection.identity !== NOBODY) {
      this.disconnects.note(connection.identity, reason, this.clock.wallMs());
    }
    if (this.all.length === 0) this.drained?.();
  }

  /** Its deadlines have changed: look at it in the next tick. */
  reschedule(connection: Connection): void {
    if (connection.slot >= 0) this.wheel.schedule(connection, 1);
  }

  /**
   * Asked by a connection before it reads a chunk of `bytes`: true means stop, keep the chunk and wait for `resumeReading`, because the bus
   * is congested or this turn has had its part.
   * Held bytes are bounded: beyond the bound the answer is no, and what is too much is dropped and counted by the senders.
   */
  mustHold(connection: Connection, bytes: number): boolean {
    const congested = this.isCongested();
    if (!congested && !this.turns.isOver(bytes)) return false;
    if (this.heldBytes + bytes > this.limits.maxHeldBytes) return false;
    this.heldBytes += bytes;
    connection.heldBytes += bytes;
    if (!congested) this.turns.wait(connection, bytes);
    else if ((connection.held & HOLD.congestion) === 0) {
      connection.hold(HOLD.congestion);
      this.congestedConnections.add(connection);
    }
    return true;
  }

  /** A chunk that was held is not wanted any more: its bytes no longer count. */
  letGo(connection: Connection, bytes: number): void {
    const counted = Math.min(bytes, connection.heldBytes);
    connection.heldBytes -= counted;
    this.heldBytes -= counted;
  }

  /** Bytes that were kept for a connection go with it unread. Messages in them are its protocol's to count, where it can tell them. */
  lose(connection: Connection, bytes: number): void {
    bump(this.counters.lostBytes, connection.scope.kind, bytes);
    this.letGo(connection, connection.heldBytes);
  }

  /** Congestion has ended: everybody reads on, in the order they were stopped; those with much to give in the turns that come. */
  congestionEnded(): void {
    const waiting = this.congestedConnections;
    this.congestedConnections = new Set();
    for (const connection of waiting) {
      if (this.turns.isLarge(connection.heldBytes)) this.turns.wait(connection, connection.heldBytes);
      else this.letGo(connection, connection.heldBytes);
    }
    for (const connection of waiting) connection.release(HOLD.congestion);
    this.turns.goOn();
  }

  /** Lets a connection that was too fast read on in `ms`, or when it was told before if that is later; one timer serves all that wait. */
  releaseRateIn(connection: Connection, ms: number): void {
    if (connection.gone) return;
    const atMs = this.clock.nowMs() + Math.min(ms, LONGEST_RATE_WAIT_MS);
    this.tooFast.set(connection, Math.max(atMs, this.tooFast.get(connection) ?? 0));
    this.rateTimer ??= this.clock.setInterval(() => this.releaseRates(), RATE_TICK_MS).unref();
  }

  private releaseRates(): void {
    const nowMs = this.clock.nowMs();
    for (const [connection, atMs] of this.tooFast) {
      if (atMs > nowMs) continue;
      this.tooFast.delete(connection);
      connection.release(HOLD.rate);
    }
    if (this.tooFast.size > 0) return;
    this.clock.clear(this.rateTimer);
    this.rateTimer = undefined;
  }

  /** For listings and for drain; the order means nothing and the array must not be changed. */
  connections(): readonly Connection[] {
    return this.all;
  }

  /** The first half of a drain: nothing new is taken in, what is under way goes on. */
  stopReading(): void {
    this.draining = true;
    for (const connection of this.all) connection.hold(HOLD.drain);
  }

  /**
   * Says goodbye to everybody and waits until they are gone, `deadlineMs` at most; what is left is closed hard by the ports.
   * No new ones are taken from here on.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.draining = true;
    for (const connection of [...this.all]) connection.disconnect("drain");
    if (this.all.length === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.clock.setTimeout(resolve, deadlineMs);
      this.drained = () => {
        this.clock.clear(timer);
        resolve();
      };
    });
    this.drained = undefined;
  }
}

function bump(counters: Record<string, number>, key: string, by = 1): void {
  counters[key] = (counters[key] ?? 0) + by;
}
