/** The receiving end of the links from the routers to a home: batches once and in order, acknowledged when nothing of them can be lost. */
import { BATCH_FLAGS, type BatchView, control, Lane, subjects } from "@myelin/contract";
import { Deque } from "../core/deque.js";
import type { MessageWaiter } from "./session.js";

/** Groups of shared subscriptions have links of their own, and their names are the clients' affair. */
const MAX_LINKS = 65_536;

/** One batch of events until all its messages are in safe hands. */
export class IntakeShare implements MessageWaiter {
  /** Of its own, until the whole batch was looked at. */
  private open = 1;

  constructor(
    private readonly link: Link,
    readonly sequence: number,
    readonly ordinal: number,
  ) {}

  get isDone(): boolean {
    return this.open === 0;
  }

  claim(): void {
    this.open++;
  }

  messageDone(): void {
    this.open--;
    if (this.open === 0) this.link.settle();
  }
}

/** One router's link for one of its partitions and a lane. */
class Link {
  /** Last batch taken. */
  sequence = 0;
  /** Of the links of one router for a group, the newest counts. */
  readonly number: number;
  private settledSequence = 0;
  private settledOrdinal = 0;
  private isScheduled = false;
  readonly shares = new Deque<IntakeShare>();

  constructor(
    private readonly ack: Omit<control.LinkAck, "sequence" | "ordinal">,
    readonly sender: string,
    private readonly publish: (subject: string, data: Uint8Array) => void,
  ) {
    this.number = numberOf(ack.targetInstance);
  }

  settle(): void {
    for (let share = this.shares.peek(); share?.isDone; share = this.shares.peek()) {
      this.shares.shift();
      this.settledSequence = share.sequence;
      this.settledOrdinal = share.ordinal;
    }
    this.acknowledgeSoon();
  }

  /** Taken and done with at once. */
  took(sequence: number, ordinal: number): void {
    this.settledSequence = sequence;
    this.settledOrdinal = ordinal;
    this.acknowledgeSoon();
  }

  /** Also where nothing new is settled: the sender may not have heard of the last one. */
  acknowledgeSoon(): void {
    if (this.isScheduled || this.settledSequence === 0) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      const ack = { ...this.ack, sequence: this.settledSequence, ordinal: this.settledOrdinal };
      this.publish(subjects.linkAck(this.sender), control.LinkAck.encode(ack).finish());
    });
  }
}

/** What became of a batch. */
export type Arrival = { readonly share: IntakeShare | undefined } | "refused";

/** All links of one home. */
export class Intake {
  private readonly links = new Map<string, Link>();
  /** Highest epoch heard of per partition: batches of older owners are refused. */
  private readonly epochs = new Map<number, number>();

  /** @param instance what a batch must be addressed to: the home's epoch */
  constructor(
    private readonly instance: string,
    private readonly publish: (subject: string, data: Uint8Array) => void,
  ) {}

  /**
   * Says whether a batch is to be taken. One that comes ahead of a lost one is refused: its sender repeats both, in order. Of events a
   * share comes with it, to be finished by `messageDone` when every message has claimed it.
   */
  accept({ hop }: BatchView, mayTake: boolean): Arrival {
    const { sender, incarnation, partition, lane, epoch, target, targetInstance, sequence } = hop;
    const ofGroup = targetInstance.startsWith(`${this.instance}#`);
    if (!ofGroup && targetInstance !== this.instance) return "refused";
    const known = this.epochs.get(partition) ?? 0;
    if (epoch < known) return "refused";
    if (epoch > known) {
      this.epochs.set(partition, epoch);
      for (const key of this.links.keys()) if (key.startsWith(`${partition} `)) this.links.delete(key);
    }
    const key = `${partition} ${lane} ${incarnation} ${sender}${ofGroup ? ` ${target}` : ""}`;
    let link = this.links.get(key);
    const number = numberOf(targetInstance);
    if (link !== undefined && number < link.number) return "refused";
    if (link === undefined || number > link.number) {
      link = new Link({ target, targetInstance, partition, lane, epoch, incarnation }, sender, this.publish);
      if (this.links.size >= MAX_LINKS) this.forgetIdle();
      this.links.set(key, link);
    }
    if (sequence <= link.sequence) {
      link.acknowledgeSoon();
      return "refused";
    }
    const ordinal = hop.firstOrdinal + hop.count;
    if (lane !== Lane.EVENT) {
      link.sequence = sequence;
      link.took(sequence, ordinal);
      return { share: undefined };
    }
    // One that was idle for so long that it was forgotten goes on where it was, when all that is on the way comes again.
    const goesOn = ofGroup && link.sequence === 0 && (hop.flags & BATCH_FLAGS.redelivered) !== 0;
    if ((sequence !== link.sequence + 1 && !goesOn) || !mayTake) return "refused";
    link.sequence = sequence;
    const share = new IntakeShare(link, sequence, ordinal);
    link.shares.push(share);
    return { share };
  }

  private forgetIdle(): void {
    for (const [key, { shares }] of this.links) {
      if (shares.length > 0) continue;
      this.links.delete(key);
      return;
    }
  }
}

/** Of a link for a group; 0: of the others there is one. */
function numberOf(targetInstance: string): number {
  const at = targetInstance.indexOf("#");
  return at < 0 ? 0 : Number(targetInstance.slice(at + 1));
}
