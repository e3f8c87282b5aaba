/** One partition of the telemetry sender: what is on the way, and what to do when nobody takes it. */
import { BatchBuilder, Lane, type Stamp, subjects } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { Bus, SenderCounters } from "./api.js";
import type { Congestion } from "./congestion.js";
import { drop } from "./counters.js";
import { MESSAGE_OVERHEAD_BYTES, OWNER_SILENCE_MS, TELEMETRY_WINDOW_BYTES } from "./links.js";

/** What may wait beside the window; beyond it messages are dropped. */
const MAX_WAITING_BYTES = TELEMETRY_WINDOW_BYTES / 2;
/** While the owner is away, one batch in this time is sent to see whether it is back. */
const PROBE_INTERVAL_MS = 250;

/**
 * `flowing`: the owner acknowledges. `holding`: the server has said that nobody listens; batches wait, for a handover takes
 * less than a second. `away`: nobody has for a second; messages are dropped and now and then a batch is sent to see.
 */
type Mode = "flowing" | "holding" | "away";

interface Batch {
  readonly sequence: number;
  readonly firstOrdinal: number;
  readonly count: number;
  readonly data: Buffer;
  /** Names this publish in the server's "nobody listens". */
  token: number;
  sentAtMs: number;
}

/** What the links of a sender share. */
export interface TelemetryLinkContext {
  readonly bus: Bus;
  /** Name of the sender. */
  readonly sender: string;
  readonly clock: Clock;
  readonly stamp: Stamp;
  readonly counters: SenderCounters;
  readonly congestion: Congestion;
  /** Subject below which "nobody listens" arrives. */
  readonly inbox: string;
}

export class TelemetryLink {
  readonly builder: BatchBuilder;
  /** Waits for the end of the turn. */
  dirty = false;

  readonly #context: TelemetryLinkContext;
  readonly #subject: string;
  readonly #replyPrefix: string;
  /** Not acknowledged, oldest first; the first `#sent` are on the way. */
  readonly #batches: Batch[] = [];
  #sent = 0;
  #sentBytes = 0;
  #waitingBytes = 0;
  #mode: Mode = "flowing";
  #heldSinceMs = 0;
  /** The first batch of which nobody has said that it was taken, while not flowing. */
  #heldFrom = 0;
  #lastAckMs = 0;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  #token = 0;

  constructor(context: TelemetryLinkContext, partition: number) {
    const { bus } = context;
    this.#context = context;
    this.#subject = subjects.telemetryBatch(partition);
    this.#replyPrefix = `${context.inbox}.${partition}.`;
    this.builder = new BatchBuilder(
      {
        sender: context.sender,
        incarnation: bus.incarnation,
        partition,
        lane: Lane.TELEMETRY,
        target: "",
        targetInstance: "",
      },
      context.stamp,
    );
  }

  /** Messages that were not published yet; those on the way count as forwarded. */
  get queued(): number {
    let count = this.builder.count;
    for (let i = this.#sent; i < this.#batches.length; i++) count += this.#batches[i]!.count;
    return count;
  }

  /** Closes the batch and sends it, lets it wait, or drops it. */
  flush(): void {
    this.dirty = false;
    const { builder } = this;
    if (builder.count === 0) return;
    const { bus, clock } = this.#context;
    if (!bus.connected) this.#dropWaiting("bus_down");
    else if (builder.size + MESSAGE_OVERHEAD_BYTES > bus.maxPayloadBytes) this.#discard("too_large");
    else if (this.#waitingBytes + builder.size > MAX_WAITING_BYTES) this.#discard("queue_full");
    else if (
      this.#mode === "away" &&
      (this.#isProbeOut() || this.#lastSentMs + PROBE_INTERVAL_MS > clock.nowMs())
    ) {
      this.#discard("no_owner");
    } else {
      this.#close();
      this.#pump();
    }
  }

  /** The owner has taken everything up to `sequence`. */
  acknowledged(sequence: number): void {
    const batches = this.#batches;
    let taken = 0;
    let bytes = 0;
    while (taken < this.#sent && batches[taken]!.sequence <= sequence) bytes += batches[taken++]!.data.length;
    batches.splice(0, taken);
    this.#sent -= taken;
    this.#sentBytes -= bytes;
    this.#lastAckMs = this.#context.clock.nowMs();
    // A leaving owner still acknowledges what it took before; only what was sent since says that one is there.
    if (this.#mode === "away" || sequence >= this.#heldFrom) this.#mode = "flowing";
    this.#pump();
  }

  /** The server had nobody to give the publish `token` to: it and all behind it wait for the next owner. */
  nobodyListens(token: number): void {
    const at = this.#batches.findIndex((batch) => batch.token === token);
    if (at < 0 || at >= this.#sent) return;
    for (let i = at; i < this.#sent; i++) {
      const batch = this.#batches[i]!;
      this.#context.counters.forwarded -= batch.count;
      this.#sentBytes -= batch.data.length;
      this.#waitingBytes += batch.data.length;
    }
    this.#sent = at;
    if (this.#mode === "away") this.#dropWaiting("no_owner");
    else if (this.#mode === "flowing") {
      this.#mode = "holding";
      this.#heldSinceMs = this.#context.clock.nowMs();
      this.#heldFrom = this.#batches[at]!.sequence;
    }
    this.#noteCongestion();
  }

  /** Called ten times a second. */
  tick(nowMs: number): void {
    const oldest = this.#sent > 0 ? this.#batches[0] : undefined;
    const silent =
      oldest !== undefined && nowMs - Math.max(oldest.sentAtMs, this.#lastAckMs) >= OWNER_SILENCE_MS;
    if (silent) this.#forgetSent();
    if (silent || (this.#mode === "holding" && nowMs - this.#heldSinceMs >= OWNER_SILENCE_MS)) {
      this.#mode = "away";
      this.#dropWaiting("no_owner");
      this.#heldFrom = this.builder.sequence;
    }
    this.#pump();
  }

  /** NATS is away: what was on the way is the receiver's to book, what was not is dropped here. */
  disconnected(): void {
    this.#forgetSent();
    this.#dropWaiting("bus_down");
    this.#mode = "flowing";
  }

  /** The sender ends: what could not be sent stays behind. */
  stopped(): void {
    this.#dropWaiting("stopped");
  }

  #close(): void {
    const { builder } = this;
    const { sequence, ordinal: firstOrdinal, count } = builder;
    const data = builder.finish();
    if (data === undefined) return;
    this.#batches.push({ sequence, firstOrdinal, count, data, token: -1, sentAtMs: 0 });
    this.#waitingBytes += data.length;
  }

  #pump(): void {
    const { bus, clock, counters } = this.#context;
    while (this.#sent < this.#batches.length) {
      const batch = this.#batches[this.#sent]!;
      // One at a time until somebody answers; later ones must not pass it.
      if (this.#mode !== "flowing" && this.#isProbeOut()) break;
      if (this.#sent > 0 && this.#sentBytes + batch.data.length > TELEMETRY_WINDOW_BYTES) break;
      batch.token = this.#token++;
      if (!bus.publish(this.#subject, batch.data, this.#replyPrefix + batch.token)) break;
      batch.sentAtMs = this.#lastSentMs = clock.nowMs();
      this.#sent += 1;
      this.#sentBytes += batch.data.length;
      this.#waitingBytes -= batch.data.length;
      counters.forwarded += batch.count;
    }
    this.#noteCongestion();
  }

  #isProbeOut(): boolean {
    const newest = this.#sent > 0 ? this.#batches[this.#sent - 1] : undefined;
    return newest !== undefined && newest.sequence >= this.#heldFrom;
  }

  #forgetSent(): void {
    this.#batches.splice(0, this.#sent);
    this.#sent = 0;
    this.#sentBytes = 0;
  }

  /** Drops what nobody was sent; its numbers are given to what comes next, so the link shows no gap. */
  #dropWaiting(reason: string): void {
    const first = this.#batches[this.#sent];
    if (first !== undefined) {
      let count = 0;
      for (let i = this.#sent; i < this.#batches.length; i++) count += this.#batches[i]!.count;
      drop(this.#context.counters, reason, count);
      this.builder.sequence = first.sequence;
      this.builder.ordinal = first.firstOrdinal;
      this.#batches.length = this.#sent;
      this.#waitingBytes = 0;
    }
    this.#discard(reason);
    this.#noteCongestion();
  }

  #discard(reason: string): void {
    drop(this.#context.counters, reason, this.builder.discard());
  }

  #noteCongestion(): void {
    this.#context.congestion.update(this, this.#sentBytes + this.#waitingBytes, TELEMETRY_WINDOW_BYTES);
  }
}
