/** Sends shares over a NATS link to one receiver at a time and settles them by its cumulative acknowledgements. */
import { BATCH_FLAGS, type control, HopHeader, Lane } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { CreditWindow, WindowWaiter } from "./credit-window.js";
import { Deque } from "./deque.js";
import type { Outlet, OutletEvents, SendAnswer, Way } from "./outlet.js";
import { type Share, stampShare } from "./share.js";

/** One process that takes batches for a target. A restarted one is another peer. */
export interface Peer {
  /** Unique over all peers of all times: instance and incarnation. */
  readonly key: string;
  readonly subject: string;
  /** Goes into the hop; empty where the subject says it all. */
  readonly targetInstance: string;
  readonly window: CreditWindow;
}

/** What the links of a process share. */
export interface LinkContext {
  readonly sender: string;
  readonly incarnation: number;
  readonly clock: Clock;
  /** False when NATS is away: nothing was sent. */
  readonly publish: (subject: string, data: Uint8Array) => boolean;
}

export interface LinkOutletOptions {
  readonly context: LinkContext;
  readonly target: string;
  readonly way: Way;
  readonly events: Pick<OutletEvents, "ready" | "settled" | "lost">;
  readonly onClose: () => void;
}

interface Flight {
  readonly sequence: number;
  readonly firstOrdinal: number;
  readonly share: Share;
  readonly count: number;
  readonly bytes: number;
}

const NO_DATA = Buffer.alloc(0);
/** Core NATS may lose a batch: what stays unacknowledged this long is sent again, with doubling waits. */
const RESEND_AFTER_MS = 5_000;
const RESEND_MAX_MS = 60_000;
/** Telemetry is not sent again; after this long without a word the window is taken as empty. */
const FORGET_TELEMETRY_MS = 10_000;
/** How long a receiver that shall get no more may take to acknowledge what it has. */
const SWITCH_WITHIN_MS = 10_000;

/**
 * A link outlet keeps the order: before it turns to another receiver, the one before has acknowledged everything, is gone,
 * or has had its time.
 */
export class LinkOutlet implements Outlet, WindowWaiter {
  readonly urgent: boolean;
  header: HopHeader;
  private peer: Peer | undefined;
  private wanted: Peer | undefined;
  private switchBy = 0;
  private numbers = { sequence: 1, ordinal: 0 };
  // A link starts at 1 for each receiver and goes on where it was when the outlet comes back to a receiver that lived on:
  // late or repeated acknowledgements of what was sent before can then never be taken for those of something newer.
  private readonly numbersByPeer = new Map<string, { sequence: number; ordinal: number }>();
  private readonly flights = new Deque<Flight>();
  private quietSinceMs = 0;
  private resendAfterMs = RESEND_AFTER_MS;
  private closed = false;

  constructor(private readonly options: LinkOutletOptions) {
    this.urgent = options.way.lane === "event";
    this.header = this.createHeader("");
  }

  get state(): "open" | "away" {
    return this.peer === undefined ? "away" : "open";
  }

  /** The receiver at the moment. */
  get current(): Peer | undefined {
    return this.peer;
  }

  /** Turns to a receiver, or to none. `gone`: the present one takes and acknowledges nothing more. */
  assign(wanted: Peer | undefined, gone: (peer: Peer) => boolean): void {
    if (this.closed) return;
    this.wanted = wanted;
    if (this.peer?.key === wanted?.key) {
      this.switchBy = 0;
      return;
    }
    const overdue = this.switchBy !== 0 && this.options.context.clock.nowMs() >= this.switchBy;
    if (this.peer === undefined || this.flights.length === 0 || overdue || gone(this.peer)) this.turn();
    else if (this.switchBy === 0) this.switchBy = this.options.context.clock.nowMs() + SWITCH_WITHIN_MS;
  }

  /** A receiver is gone for good; one of the same key that comes later is a new one. */
  forget(peerKey: string): void {
    this.numbersByPeer.delete(peerKey);
    if (this.peer?.key === peerKey) this.numbers = { sequence: 1, ordinal: 0 };
  }

  trySend(share: Share, again: boolean): SendAnswer {
    const peer = this.peer;
    if (peer === undefined || this.switchBy !== 0) return "later";
    const bytes = share.data.length;
    if (!peer.window.take(share.count, bytes, this)) return "later";
    const { numbers } = this;
    const { sequence, ordinal } = numbers;
    const data = stampShare(share, this.header, this.counters(sequence, ordinal, share), again);
    if (!this.options.context.publish(peer.subject, data)) {
      peer.window.release(share.count, bytes);
      return "later";
    }
    numbers.sequence = sequence + 1;
    numbers.ordinal = ordinal + share.count;
    if (this.flights.length === 0) this.quietSinceMs = this.options.context.clock.nowMs();
    this.flights.push({ sequence, firstOrdinal: ordinal, share, count: share.count, bytes });
    if (this.urgent) return "taken";
    share.data = NO_DATA;
    return "done";
  }

  /** Takes an acknowledgement of this link; those of other links, owners or epochs are ignored. */
  acknowledged(ack: control.LinkAck): void {
    const { context, way } = this.options;
    if (this.closed || ack.incarnation !== context.incarnation || ack.epoch !== way.epoch) return;
    if (ack.targetInstance !== (this.peer?.targetInstance ?? "")) return;
    let settled = 0;
    let envelopes = 0;
    let bytes = 0;
    for (
      let f = this.flights.peek();
      f !== undefined && f.sequence <= ack.sequence;
      f = this.flights.peek()
    ) {
      this.flights.shift();
      settled++;
      envelopes += f.count;
      bytes += f.bytes;
    }
    if (settled === 0) return;
    this.quietSinceMs = context.clock.nowMs();
    this.resendAfterMs = RESEND_AFTER_MS;
    const peer = this.peer;
    if (this.urgent) this.options.events.settled(settled);
    peer?.window.release(envelopes, bytes);
    if (this.flights.length === 0 && this.switchBy !== 0) this.turn();
  }

  windowOpened(): void {
    if (!this.closed) this.options.events.ready();
  }

  /** Called about twice a second. */
  tick(): void {
    if (this.closed) return;
    const now = this.options.context.clock.nowMs();
    if (this.switchBy !== 0 && now >= this.switchBy) this.turn();
    if (this.flights.length === 0) return;
    const quietMs = now - this.quietSinceMs;
    if (!this.urgent) {
      if (quietMs >= FORGET_TELEMETRY_MS) this.forgetFlights();
    } else if (quietMs >= this.resendAfterMs) {
      this.resendAfterMs = Math.min(RESEND_MAX_MS, this.resendAfterMs * 2);
      this.resend();
    }
  }

  /** Sends everything on the way again, under the same numbers: the receiver drops what it has. */
  resend(): void {
    const peer = this.peer;
    if (peer === undefined || !this.urgent || this.closed) return;
    this.quietSinceMs = this.options.context.clock.nowMs();
    for (const flight of this.flights) {
      const { share } = flight;
      share.flags |= BATCH_FLAGS.redelivered;
      const data = stampShare(
        share,
        this.header,
        this.counters(flight.sequence, flight.firstOrdinal, share),
        true,
      );
      if (!this.options.context.publish(peer.subject, data)) return;
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.forgetFlights();
    this.options.onClose();
  }

  private counters(sequence: number, firstOrdinal: number, share: Share) {
    return { sequence, firstOrdinal, count: share.count, flags: share.flags, epoch: this.options.way.epoch };
  }

  private turn(): void {
    const hadFlights = this.flights.length > 0;
    this.forgetFlights();
    this.switchBy = 0;
    const peer = this.wanted;
    this.peer = peer;
    if (peer !== undefined) {
      this.header = this.createHeader(peer.targetInstance);
      this.numbers = this.numbersByPeer.get(peer.key) ?? { sequence: 1, ordinal: 0 };
      this.numbersByPeer.set(peer.key, this.numbers);
      this.resendAfterMs = RESEND_AFTER_MS;
    }
    if (hadFlights && this.urgent) this.options.events.lost();
    else this.options.events.ready();
  }

  private forgetFlights(): void {
    const window = this.peer?.window;
    window?.forget(this);
    let envelopes = 0;
    let bytes = 0;
    for (const flight of this.flights) {
      envelopes += flight.count;
      bytes += flight.bytes;
    }
    this.flights.clear();
    if (envelopes > 0) window?.release(envelopes, bytes);
  }

  private createHeader(targetInstance: string): HopHeader {
    const { context, target, way } = this.options;
    return new HopHeader({
      sender: context.sender,
      incarnation: context.incarnation,
      partition: way.partition,
      lane: way.lane === "event" ? Lane.EVENT : Lane.TELEMETRY,
      target,
      targetInstance,
    });
  }
}
