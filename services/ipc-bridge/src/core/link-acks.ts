/** Sends LinkAcks to the owners: once per link and turn of the event loop, and again a little later. */

import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import type { Clock, Timer } from "@myelin/kernel";
import type { Link } from "./link.js";

/**
 * A LinkAck travels at most once, and a lost last one would hold the owner's window. So it is repeated for a while, long
 * enough that an owner that lost NATS together with us has come back.
 */
const REPEAT_MS = 1_000;
const REPEATS = 5;

/** Coalesces: however many batches an app acknowledges in one turn, the owner gets one message per link. */
export class LinkAcks {
  readonly #bus: Bus;
  readonly #clock: Clock;
  #dirty = new Set<Link>();
  /** How often each link is still to be repeated. */
  readonly #repeat = new Map<Link, number>();
  #scheduled = false;
  #timer: Timer | undefined;
  #unsubscribe: Unsubscribe | undefined;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  start(): void {
    this.#timer = this.#clock.setInterval(() => this.#repeatAll(), REPEAT_MS).unref();
    this.#unsubscribe = this.#bus.onConnectionChange((connected) => {
      if (connected) this.#flush();
    });
  }

  stop(): void {
    this.#flush();
    this.#clock.clear(this.#timer);
    this.#unsubscribe?.();
  }

  /** The link's acknowledged numbers have changed. */
  note(link: Link): void {
    this.#dirty.add(link);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    // While NATS is away the links stay dirty; the number of links is bounded by sessions and partitions.
    if (!this.#bus.connected) return;
    const dirty = this.#dirty;
    this.#dirty = new Set();
    for (const link of dirty) {
      this.#send(link);
      this.#repeat.set(link, REPEATS);
    }
  }

  #repeatAll(): void {
    if (!this.#bus.connected || this.#repeat.size === 0) return;
    for (const [link, left] of this.#repeat) {
      this.#send(link);
      if (left > 1) this.#repeat.set(link, left - 1);
      else this.#repeat.delete(link);
    }
  }

  #send(link: Link): void {
    const ack: control.LinkAck = {
      target: link.target,
      targetInstance: link.targetInstance,
      partition: link.partition,
      lane: link.lane,
      epoch: link.epoch,
      sequence: link.ackedSequence,
      ordinal: link.ackedOrdinal,
      incarnation: link.incarnation,
    };
    const sent = this.#bus.publish(subjects.linkAck(link.sender), control.LinkAck.encode(ack).finish());
    if (!sent) this.#dirty.add(link);
  }
}
