/** What the retained messages of a process take, over all partitions it owns. */

export interface RetainedLimits {
  /** Messages of the whole deployment; a process may hold its partitions' share. */
  readonly messages: number;
  /** Bytes of messages that are held in memory; what is beyond it is read back from the stream when asked for. */
  readonly memoryBytes: number;
}

/** From this share of the messages on publishers are refused, below the other one they are let in again. */
const FULL = 0.95;
const ROOM = 0.9;
/** What was on the way when it got full is taken up to here. */
const HARD = 1.25;

/** Plain numbers, changed by the shards. */
export class RetainedBudget {
  messages = 0;
  bytes = 0;
  memoryBytes = 0;
  /** Partitions owned. */
  owned = 0;
  /** How full the stream is, 0 … 1, as found last. */
  streamFill = 0;
  private wasFull = false;

  constructor(
    readonly limits: RetainedLimits,
    private readonly partitions: number,
  ) {}

  /** Publishers of new messages should be refused. */
  get isFull(): boolean {
    const fill = Math.max(this.streamFill, this.messages / Math.max(1, this.share));
    this.wasFull = fill >= (this.wasFull ? ROOM : FULL);
    return this.wasFull;
  }

  /** Not even what was accepted before is taken. */
  get isExhausted(): boolean {
    return this.messages >= this.share * HARD + 1;
  }

  get hasMemory(): boolean {
    return this.memoryBytes <= this.limits.memoryBytes;
  }

  private get share(): number {
    return (this.limits.messages * this.owned) / this.partitions;
  }
}
