/** The way to a group for one partition and lane: a link to each listener and home with members, which take turns by how many they have. */
import { BATCH_FLAGS, HopHeader, Lane } from "@myelin/contract";
import { Deque } from "../../core/deque.js";
import type { LinkContext, LinkOutlet, LinkOutletOptions, Peer } from "../../core/link-outlet.js";
import type { Share } from "../../core/share.js";
import type { Outlet, OutletEvents, Way } from "../target.js";

export interface GroupOutletOptions {
  readonly target: string;
  readonly way: Way;
  readonly events: OutletEvents;
  readonly context: Pick<LinkContext, "sender" | "incarnation">;
  readonly open: (events: LinkOutletOptions["events"]) => LinkOutlet;
  /** With another `targetInstance` each time: a link that is opened again must not be taken for the one before. */
  readonly peerOf: (name: string) => Peer | undefined;
  /** Where it is at the moment: another answer means that `peerOf` is asked again. */
  readonly placeOf: (name: string) => string;
  readonly onClose: () => void;
}

interface Flight {
  readonly share: Share;
  isDone: boolean;
}

interface Member {
  readonly link: LinkOutlet;
  place: string;
  /** Members that it has; 0: it is given nothing, but what it has it keeps. */
  weight: number;
  /** Messages it was given, by its weight: who has the lowest is next. */
  served: number;
  /** Sent to it and not acknowledged, oldest first. */
  readonly flights: Deque<Flight>;
}

/** Settles in the order in which shares were taken, whoever acknowledges first. */
export class GroupOutlet implements Outlet {
  private readonly members = new Map<string, Member>();
  /** Everything that was taken and not settled, oldest first. */
  private readonly flights = new Deque<Flight>();
  /** Of those: what a listener that is gone has not acknowledged. */
  private readonly again = new Deque<Flight>();
  private readonly noHeader: HopHeader;
  private turn: number;
  private closed = false;

  constructor(private readonly options: GroupOutletOptions) {
    const { target, way, context } = options;
    // Not all partitions begin with the same listener.
    this.turn = way.partition;
    this.noHeader = new HopHeader({
      sender: context.sender,
      incarnation: context.incarnation,
      partition: way.partition,
      lane: way.lane === "event" ? Lane.EVENT : Lane.TELEMETRY,
      target,
      targetInstance: "",
    });
  }

  get state(): "open" | "away" {
    return this.next() === undefined ? "away" : "open";
  }

  get header(): HopHeader {
    return this.next()?.link.header ?? this.noHeader;
  }

  /** Listeners and homes with members, and how many of them count. */
  setMembers(members: ReadonlyMap<string, number>): void {
    if (this.closed) return;
    for (const [listener, weight] of members) {
      const member = this.members.get(listener);
      if (member === undefined) this.join(listener, weight);
      else this.change(listener, member, weight);
    }
    for (const [listener, member] of [...this.members]) {
      if (!members.has(listener)) this.leave(listener, member);
    }
    if (this.members.size === 0 && this.flights.length > 0) this.giveUp();
    this.goOn();
  }

  trySend(share: Share, again: boolean): "later" | "taken" | "done" {
    if (!this.sendAgain()) return "later";
    const first = this.next();
    if (first === undefined) return "later";
    const answer = this.give(first, share, again);
    if (answer !== "later") return answer;
    // The one whose turn it is has no room.
    for (const member of this.members.values()) {
      if (member === first || member.weight === 0) continue;
      const other = this.give(member, share, again);
      if (other !== "later") return other;
    }
    return "later";
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { link } of this.members.values()) link.close();
    this.members.clear();
    this.flights.clear();
    this.again.clear();
    this.options.onClose();
  }

  private give(member: Member, share: Share, again: boolean): "later" | "taken" | "done" {
    const { count } = share;
    const answer = member.link.trySend(share, again);
    if (answer === "later") return answer;
    member.served += count / member.weight;
    if (answer === "taken") {
      const flight = { share, isDone: false };
      member.flights.push(flight);
      this.flights.push(flight);
    }
    return answer;
  }

  private next(): Member | undefined {
    const { members } = this;
    let chosen: Member | undefined;
    let at = 0;
    for (const member of members.values()) {
      // Among equals the turn decides.
      const isFirst = at++ === this.turn % members.size;
      if (member.weight === 0) continue;
      if (chosen === undefined || member.served < chosen.served) chosen = member;
      else if (isFirst && member.served === chosen.served) chosen = member;
    }
    return chosen;
  }

  private join(listener: string, weight: number): void {
    const { open, peerOf, placeOf } = this.options;
    const flights = new Deque<Flight>();
    const link = open({
      ready: () => this.goOn(),
      settled: (count) => this.settled(flights, count),
      lost: () => this.lost(flights),
    });
    this.members.set(listener, {
      link,
      place: placeOf(listener),
      weight,
      flights,
      served: this.leastServed(),
    });
    link.assign(peerOf(listener), () => true);
  }

  /** Who has just come has nothing to make up for. */
  private leastServed(): number {
    let served = Number.POSITIVE_INFINITY;
    for (const member of this.members.values()) {
      if (member.weight > 0) served = Math.min(served, member.served);
    }
    return served === Number.POSITIVE_INFINITY ? 0 : served;
  }

  private change(name: string, member: Member, weight: number): void {
    const { peerOf, placeOf } = this.options;
    if (member.weight === 0 && weight > 0) member.served = Math.max(member.served, this.leastServed());
    member.weight = weight;
    const place = placeOf(name);
    if (place === member.place) return;
    member.place = place;
    member.link.assign(peerOf(name), () => true);
  }

  private leave(listener: string, { link, flights }: Member): void {
    this.members.delete(listener);
    link.close();
    this.lost(flights);
  }

  private settled(flights: Deque<Flight>, count: number): void {
    for (let i = 0; i < count; i++) {
      const flight = flights.shift();
      if (flight !== undefined) flight.isDone = true;
    }
    let settled = 0;
    while (this.flights.peek()?.isDone === true) {
      this.flights.shift();
      settled++;
    }
    if (settled > 0) this.options.events.settled(settled);
  }

  /** What it had not acknowledged goes to others. */
  private lost(flights: Deque<Flight>): void {
    for (let flight = flights.shift(); flight !== undefined; flight = flights.shift()) {
      flight.share.flags |= BATCH_FLAGS.redelivered;
      this.again.push(flight);
    }
  }

  /** Nobody is left: the queue decides what becomes of it. */
  private giveUp(): void {
    this.flights.clear();
    this.again.clear();
    this.options.events.lost();
  }

  private goOn(): void {
    if (this.closed) return;
    this.sendAgain();
    this.options.events.ready();
  }

  /** False when something that must go first cannot be sent yet. */
  private sendAgain(): boolean {
    for (let flight = this.again.peek(); flight !== undefined; flight = this.again.peek()) {
      const member = this.next();
      if (member === undefined || member.link.trySend(flight.share, true) === "later") return false;
      member.served += flight.share.count / member.weight;
      member.flights.push(flight);
      this.again.shift();
    }
    return true;
  }
}
