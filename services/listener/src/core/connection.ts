/** What every connection has, whatever it speaks: identity, channels, deadlines, rate, and reasons to stop reading. */
import type { Protocol } from "@myelin/contract";
import { AppError, fillBucket, takeTokens, tokensReadyInMs } from "@myelin/kernel";
import type { Identity } from "./admission.js";
import type { ChannelTable } from "./channel-table.js";
import type { ConnectionManager } from "./connection-manager.js";
import type { ChannelSource } from "./ingress.js";
import type { ConnectionLimits } from "./limits.js";
import type { ProtocolFacts, SubscriptionOptions } from "./operations-facts.js";
import { ticksOf, type WheelEntry } from "./timing-wheel.js";

/** Why a connection ended: label of the disconnect counter, so a closed set. */
export type DisconnectReason =
  | "client"
  | "lost"
  | "malformed"
  | "violation"
  | "refused"
  | "revoked"
  | "first_packet"
  | "keep_alive"
  | "heartbeat"
  | "idle"
  | "slow_client"
  | "frame_too_large"
  | "rate"
  | "takeover"
  | "drain"
  | "home_lost"
  | "deleted"
  | "administrative"
  | "internal";

/** Bits of `Connection.held`: reading stops while any is set. */
export const HOLD = {
  congestion: 1,
  rate: 2,
  writing: 4,
  admission: 8,
  drain: 16,
  home: 32,
  turn: 64,
} as const;
export type Hold = (typeof HOLD)[keyof typeof HOLD];

/** What the connections of one port share, so that each of them keeps one pointer. */
export interface ConnectionScope {
  readonly manager: ConnectionManager;
  readonly protocol: Protocol;
  /** Registry key of the protocol; metric label. */
  readonly kind: string;
  /** Name of the port. */
  readonly port: string;
  readonly limits: ConnectionLimits;
}

const SLOW_CLIENT_TICKS = ticksOf(60_000);

/** Nobody: what a connection is before it has been admitted. */
export const NOBODY: Identity = { tenant: "", deviceId: "", user: "" };

/**
 * Base of the connections of all protocols. Fields, not closures: an idle connection must stay small. A subclass calls
 * `scope.manager.add(this)` when its transport is there, `admitted` when the client is known, `seen` per chunk, and
 * `scope.manager.remove(this, reason)` once when the transport is gone.
 */
export abstract class Connection implements WheelEntry, ChannelSource {
  readonly scope: ConnectionScope;
  /** Remote IP address. */
  readonly address: string;
  /** Grows with each connection of this process; the connection epoch of presence. Set by the manager. */
  number = 0;
  identity: Identity = NOBODY;
  channels: ChannelTable | undefined = undefined;
  wheelNext: WheelEntry | undefined = undefined;
  wheelPrev: WheelEntry | undefined = undefined;
  wheelSlot = -1;
  bucketTokens = 0;
  bucketMs = 0;
  /** Tick of the last sign of life. */
  seenTick = 0;
  /** Heartbeats without an answer. */
  misses = 0;
  /** Bits of HOLD. */
  held = 0;
  /** Its part of the bytes that are kept while the outputs are congested; the manager counts. */
  heldBytes = 0;
  /** 0: none. Set by the protocol when the client promised to be heard of within this time (MQTT keep alive × 1.5). */
  keepAliveTicks = 0;
  /** Unix microseconds of the session's beginning; 0 before. */
  openedAtUs = 0;
  /** Where the manager has it; -1 when it has not. */
  slot = -1;
  /** Set by `remove`: a late callback of a transport finds out here. */
  gone = false;

  constructor(scope: ConnectionScope, address: string) {
    this.scope = scope;
    this.address = address;
  }

  get protocol(): Protocol {
    return this.scope.protocol;
  }

  get port(): string {
    return this.scope.port;
  }

  get contentType(): string {
    return "";
  }

  /** For operators: the version of the protocol, as its standard calls it; empty where there is one only. */
  get versionName(): string {
    return "";
  }

  /** For operators: filters that it holds beside the table of subscriptions, with their tags; undefined: the table has them all. */
  get keptFilters(): ReadonlyMap<string, number> | undefined {
    return undefined;
  }

  /** For operators: messages above QoS 0 on the way to the client without its acknowledgement. */
  get inflightMessages(): number {
    return 0;
  }

  /** For operators: messages that wait for room behind those. */
  get queuedMessages(): number {
    return 0;
  }

  /** It has said goodbye: its session is over, or goes on without it. */
  get isClosing(): boolean {
    return this.gone;
  }

  /** For operators: what only the protocol knows. Made when it is asked for. */
  facts(): ProtocolFacts {
    return {};
  }

  /** For operators: what the tag of a subscription says; absent: tags say nothing. */
  subscriptionOptions?(tag: number): SubscriptionOptions;

  /** Says goodbye in the protocol's terms where it can, and closes the transport. Safe twice. */
  abstract disconnect(reason: DisconnectReason, error?: AppError): void;

  /** Stop and go on reading from the transport; called by `hold` and `release` only. */
  protected abstract pauseReading(): void;
  protected abstract resumeReading(): void;

  /** Protocols whose server may ask for a sign of life send it here; absent: silence is judged by `keepAliveTicks` and idle only. */
  ping?(): void;

  /** A subscription of its client is denied from now on. */
  revoked(filter: string): void {
    this.disconnect(
      "revoked",
      new AppError("auth.not_authorized", `${filter} may not be subscribed to any more`),
    );
  }

  /** The rules of admission have changed: what the listener's tables do not know of must be looked through by the protocol. */
  rulesChanged?(): void;

  /** The client is known: from here on the first-packet deadline no longer counts. */
  admitted(identity: Identity): void {
    this.identity = identity;
    this.seen();
    const { manager, limits } = this.scope;
    if (limits.rate !== undefined) fillBucket(this, limits.rate, manager.clock.nowMs());
    manager.reschedule(this);
  }

  /** Once per chunk or frame, not per message. Does not move the first-packet deadline: bytes are not yet a client. */
  seen(): void {
    if (this.identity === NOBODY) return;
    this.seenTick = this.scope.manager.wheel.now;
    this.misses = 0;
  }

  /**
   * Takes `count` messages from the rates of the connection and of its device. When there are too few left, reading stops until there are enough;
   * what was read already is still taken, so that nothing is lost: the bucket goes below zero.
   */
  spend(count: number): void {
    const { limits, manager } = this.scope;
    const { rate } = limits;
    const { deviceRates } = manager;
    if (rate === undefined && deviceRates === undefined) return;
    const nowMs = manager.clock.nowMs();
    let waitMs = deviceRates?.spend(this.identity, count, nowMs) ?? 0;
    if (rate !== undefined && !takeTokens(this, rate, nowMs, count)) {
      this.bucketTokens -= count;
      waitMs = Math.max(waitMs, tokensReadyInMs(this, rate, nowMs, 1));
    }
    if (waitMs > 0) this.slowDown(waitMs);
  }

  slowDown(ms: number): void {
    this.hold(HOLD.rate);
    this.scope.manager.releaseRateIn(this, ms);
  }

  hold(bit: Hold): void {
    if (this.held === 0 && !this.gone) this.pauseReading();
    this.held |= bit;
  }

  release(bit: Hold): void {
    if ((this.held & bit) === 0) return;
    this.held &= ~bit;
    if (this.held === 0 && !this.gone) {
      // Being held is not silence.
      this.seen();
      this.resumeReading();
    }
  }

  /** See `WheelEntry`: finds out which deadline has passed. */
  onWheel(now: number): number {
    if (this.gone) return 0;
    const { limits } = this.scope;
    const silent = now - this.seenTick;
    if (this.identity === NOBODY) {
      const left = ticksOf(limits.firstPacketMs) - silent;
      if (left > 0) return left;
      this.disconnect("first_packet");
      return 0;
    }
    if (this.held !== 0) {
      // We do not listen, so silence means nothing; but a client that takes nothing for a minute is given up.
      if ((this.held & HOLD.writing) !== 0 && silent >= SLOW_CLIENT_TICKS) {
        this.disconnect("slow_client");
        return 0;
      }
      return 2;
    }
    let next = 0;
    if (this.keepAliveTicks > 0) {
      if (silent >= this.keepAliveTicks) {
        this.disconnect("keep_alive");
        return 0;
      }
      next = this.keepAliveTicks - silent;
    }
    if (limits.idleMs > 0) {
      const left = ticksOf(limits.idleMs) - silent;
      if (left <= 0) {
        this.disconnect("idle");
        return 0;
      }
      next = next === 0 ? left : Math.min(next, left);
    }
    if (limits.heartbeatMs > 0 && this.ping !== undefined) {
      const every = ticksOf(limits.heartbeatMs);
      const due = every * (this.misses + 1);
      if (silent >= due) {
        if (this.misses >= limits.heartbeatMisses) {
          this.disconnect("heartbeat");
          return 0;
        }
        this.misses += 1;
        this.ping();
      }
      const left = Math.max(1, every * (this.misses + 1) - silent);
      next = next === 0 ? left : Math.min(next, left);
    }
    return next;
  }
}
