/** What is on the way to one app session: bounded by its credit, by the transport, and by what may be held here. */
import {
  type app,
  type BatchView,
  type envelope,
  Lane,
  TAG_FRAME_DELIVER,
  wrapFrame,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Books } from "./books.js";
import { DeliveryTrace, type DeliveryTracing, type TracedApp } from "./delivery-trace.js";
import { Link, type Outstanding } from "./link.js";

/** What the deliveries need of their session and bridge. */
export interface DeliveryPorts extends TracedApp {
  readonly books: Books;
  readonly heldBytes: number;
  /** Undefined: nothing is traced. */
  readonly tracing: DeliveryTracing | undefined;
  /** Writes a frame; false when the transport wants no more until `unblocked` is called. */
  send(frame: Uint8Array): boolean;
  /** The link's acknowledged numbers have moved on. */
  acknowledged(link: Link): void;
  /** The session cannot go on: what it has not acknowledged must go elsewhere. */
  fail(error: AppError): void;
}

/** Credit of the app; changed while the session runs. */
export interface Credit {
  envelopes: number;
  bytes: number;
}

const LANES = 4;

/**
 * Order is kept per link; telemetry and events wait in queues of their own, each with the bound `heldBytes`. A full
 * telemetry queue drops the oldest and counts it; a full event queue ends the session, so that the owner keeps the events.
 */
export class Deliveries {
  readonly credit: Credit;
  /** With the app, not acknowledged. */
  sentEnvelopes = 0;
  sentBytes = 0;
  readonly #ports: DeliveryPorts;
  readonly #links = new Map<number, Link>();
  /** Telemetry links of older owners: what they brought is still delivered, but acknowledged to nobody. */
  readonly #retired = new Set<Link>();
  readonly #held: Record<"telemetry" | "event", HeldQueue>;
  #blocked = false;
  #closed = false;

  constructor(ports: DeliveryPorts, credit: Credit) {
    this.#ports = ports;
    this.credit = credit;
    this.#held = { telemetry: new HeldQueue(), event: new HeldQueue() };
  }

  /** Bytes that wait here. */
  get heldBytes(): number {
    return this.#held.telemetry.bytes + this.#held.event.bytes;
  }

  /** Event batches that the app has, or that wait for it. */
  get pendingEvents(): number {
    let count = 0;
    for (const link of this.#links.values()) if (link.lane !== Lane.TELEMETRY) count += link.outstanding;
    return count;
  }

  /** Takes a batch from an owner. The view is read during the call only; the bytes are copied once, into the frame. */
  offer(view: BatchView): void {
    const { hop } = view;
    const account = this.#ports.books.deliver(this.#ports.app, hop.lane);
    const link = this.#linkOf(hop);
    const verdict = link.judge(hop);
    if (verdict === "double") {
      // The owner sends again what it believes unacknowledged: perhaps our last word to it was lost.
      if (link.ackedSequence > 0) this.#ports.acknowledged(link);
      return;
    }
    // Acknowledgements are cumulative, so nothing behind a lost event batch may be taken. The owner sends everything
    // unacknowledged again, in order.
    if (verdict === "gap" && hop.lane !== Lane.TELEMETRY) return;
    const { entry, lost } = link.take(hop, wrapFrame(TAG_FRAME_DELIVER, view.bytes));
    entry.trace = DeliveryTrace.begin(this.#ports.tracing, view, this.#ports);
    if (lost > 0) account.refuse(lost, "lost_in_transit");
    account.received += hop.count;
    account.queued += hop.count;
    const queue = hop.lane === Lane.TELEMETRY ? this.#held.telemetry : this.#held.event;
    queue.push(entry);
    this.#pump();
    if (queue.bytes > this.#ports.heldBytes) this.#overflow(hop.lane);
  }

  /** The app is done with a link up to a sequence; numbers of older epochs only give credit back. */
  acknowledge(ack: app.DeliveryAck): void {
    const link = this.#links.get(ack.partition * LANES + ack.lane);
    // The lane is the app's word: another one than the four may fall on the place of a neighbour.
    if (link !== undefined && link.epoch === ack.epoch && link.lane === ack.lane) {
      if (link.acknowledge(ack.sequence, this.#settle)) this.#ports.acknowledged(link);
    } else {
      for (const old of this.#retired) {
        if (old.partition !== ack.partition || old.lane !== ack.lane || old.epoch !== ack.epoch) continue;
        old.acknowledge(ack.sequence, this.#settle);
        if (old.outstanding === 0) this.#retired.delete(old);
      }
    }
    this.#pump();
  }

  /** A new owner is in charge of the partition: what older ones sent and still waits here is theirs no more. */
  retire(partition: number, epoch: number): void {
    for (const [key, link] of this.#links) {
      if (link.partition !== partition || link.epoch >= epoch) continue;
      this.#links.delete(key);
      this.#retire(link);
    }
  }

  /** The transport takes frames again. */
  unblocked(): void {
    this.#blocked = false;
    this.#pump();
  }

  /** True while the transport wants no more. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** For frames beside deliveries: remembers that the transport is full. */
  noteSent(took: boolean): void {
    if (!took) this.#blocked = true;
  }

  creditChanged(): void {
    this.#pump();
  }

  /** Calls `each` for the links in force, to repeat their acknowledgements. */
  links(): Iterable<Link> {
    return this.#links.values();
  }

  /** Ends everything: telemetry is lost with the app and counted, events stay with the owner. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const link of [...this.#links.values(), ...this.#retired]) {
      link.close((entry) => this.#bookLoss(entry));
    }
    this.#links.clear();
    this.#retired.clear();
    this.#held.telemetry.clear();
    this.#held.event.clear();
    this.sentEnvelopes = this.sentBytes = 0;
  }

  #linkOf(hop: envelope.Hop): Link {
    const key = hop.partition * LANES + hop.lane;
    const known = this.#links.get(key);
    if (known?.epoch === hop.epoch) return known;
    if (known !== undefined) this.#retire(known);
    const link = new Link(hop);
    this.#links.set(key, link);
    return link;
  }

  #retire(link: Link): void {
    if (link.lane === Lane.TELEMETRY) {
      if (link.outstanding > 0) this.#retired.add(link);
      return;
    }
    // The new owner delivers these again, flagged as such; sending them twice from here would break that promise.
    link.close((entry) => {
      if (entry.frame === undefined) {
        this.sentEnvelopes -= entry.count;
        this.sentBytes -= entry.bytes;
      }
      this.#bookLoss(entry);
    });
    this.#held.event.sweep();
  }

  #pump(): void {
    // Events first: they are what somebody waits for. Telemetry cannot starve for longer than the event window lasts.
    this.#pumpQueue(this.#held.event);
    this.#pumpQueue(this.#held.telemetry);
  }

  #pumpQueue(queue: HeldQueue): void {
    while (!this.#blocked && !this.#closed) {
      const entry = queue.peek();
      if (entry === undefined || !this.#hasCredit(entry)) return;
      queue.shift();
      const frame = entry.frame!;
      entry.frame = undefined;
      this.sentEnvelopes += entry.count;
      this.sentBytes += entry.bytes;
      if (!this.#ports.send(frame)) this.#blocked = true;
      entry.trace?.sent();
    }
  }

  #hasCredit(entry: Outstanding): boolean {
    // A batch larger than the whole window must still pass, alone.
    if (this.sentEnvelopes === 0) return true;
    return (
      this.sentEnvelopes + entry.count <= this.credit.envelopes &&
      this.sentBytes + entry.bytes <= this.credit.bytes
    );
  }

  readonly #settle = (entry: Outstanding): void => {
    this.sentEnvelopes -= entry.count;
    this.sentBytes -= entry.bytes;
    const account = this.#ports.books.deliver(this.#ports.app, entry.link.lane);
    account.queued -= entry.count;
    account.forwarded += entry.count;
    entry.trace?.settled();
  };

  #overflow(lane: Lane): void {
    if (lane !== Lane.TELEMETRY) {
      this.#ports.fail(
        new AppError("limit.slow_client", "the app reads or acknowledges events too slowly for its credit"),
      );
      return;
    }
    const queue = this.#held.telemetry;
    while (queue.bytes > this.#ports.heldBytes) {
      const entry = queue.shift();
      if (entry === undefined) return;
      this.#ports.books.deliver(this.#ports.app, lane).giveUp(entry.count, "queue_full");
      entry.trace?.givenUp("queue_full");
      if (entry.link.giveUp(entry)) this.#ports.acknowledged(entry.link);
    }
  }

  #bookLoss(entry: Outstanding): void {
    const lane = entry.link.lane;
    const reason = lane === Lane.TELEMETRY ? "app_gone" : "requeued";
    this.#ports.books.deliver(this.#ports.app, lane).giveUp(entry.count, reason);
    entry.trace?.givenUp(reason);
  }
}

/** Held batches in order of arrival, with their bytes. */
class HeldQueue {
  bytes = 0;
  #items: Outstanding[] = [];
  #head = 0;

  push(entry: Outstanding): void {
    this.#items.push(entry);
    this.bytes += entry.bytes;
  }

  peek(): Outstanding | undefined {
    return this.#items[this.#head];
  }

  shift(): Outstanding | undefined {
    const entry = this.#items[this.#head];
    if (entry === undefined) return undefined;
    this.#head++;
    this.bytes -= entry.bytes;
    if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  /** Forgets entries that were given up meanwhile. */
  sweep(): void {
    this.#items = this.#items.slice(this.#head).filter((entry) => entry.frame !== undefined);
    this.#head = 0;
    this.bytes = this.#items.reduce((sum, entry) => sum + entry.bytes, 0);
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.bytes = 0;
  }
}
