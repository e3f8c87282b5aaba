/** Leaves those who wait for messages their part of each turn of the event loop, however much comes in. */
import { type Connection, HOLD } from "./connection.js";

/** What is read from large senders in one turn: some ten thousand small messages, a few milliseconds of work. */
const TURN_BYTES = 1024 * 1024;
/** A sender whose chunk is smaller has nothing more to give, and never waits. */
const LARGE_CHUNK_BYTES = 8 * 1024;

/** Turns without a delivery after which nobody is taken to wait for one. */
const QUIET_TURNS = 16;

/**
 * The system hands over all that all sockets hold before it comes round to what arrives from NATS; a thousand senders that flood
 * would keep subscribers waiting for seconds, until what is on the way to them is dropped. So while something is delivered here those
 * that send much are read in turns, a chunk each, and feel it as back pressure; otherwise the whole turn is theirs. While the bus is
 * congested nobody's turn comes.
 */
export class TurnShare {
  private taken = 0;
  private isOpen = false;
  private delivered = 0;
  private quietTurns = QUIET_TURNS;
  /** With the size of the chunk that each was read last; whoever waits longest is first. */
  private readonly waiting = new Map<Connection, number>();

  /**
   * @param deliveries how many messages for subscribers have come to this listener so far
   * @param onTurn called for each that waits when its turn comes, before it reads on
   */
  constructor(
    private readonly isCongested: () => boolean,
    private readonly deliveries: () => number,
    private readonly onTurn: (connection: Connection) => void,
  ) {}

  /** So much at a time comes from senders that have more to give. */
  isLarge(bytes: number): boolean {
    return bytes >= LARGE_CHUNK_BYTES;
  }

  /** Asked before a chunk is worked off: the turn has had its part, so it should be kept for a later one. */
  isOver(bytes: number): boolean {
    return this.isBusy && this.taken >= TURN_BYTES && this.isLarge(bytes);
  }

  /** A chunk was worked off: its sender may have to wait before it is read again. */
  took(connection: Connection, bytes: number): void {
    if (!this.isLarge(bytes)) return;
    this.taken += bytes;
    this.open();
    const isShort = this.isBusy && (this.taken >= TURN_BYTES || this.waiting.size > 0);
    if (isShort || this.isCongested()) this.wait(connection, bytes);
  }

  /** Stops reading from the connection until its turn comes; `bytes` is what it will take then, as far as one can know. */
  wait(connection: Connection, bytes: number): void {
    if (connection.gone) return;
    this.waiting.set(connection, bytes);
    connection.hold(HOLD.turn);
    this.open();
  }

  /** The transport is gone. */
  forget(connection: Connection): void {
    this.waiting.delete(connection);
  }

  /** The bus is congested no longer. */
  goOn(): void {
    if (this.waiting.size > 0) this.open();
  }

  private get isBusy(): boolean {
    return this.quietTurns < QUIET_TURNS;
  }

  private open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    setImmediate(this.endTurn);
  }

  private readonly endTurn = (): void => {
    this.isOpen = false;
    this.taken = 0;
    this.quietTurns += 1;
    const delivered = this.deliveries();
    if (delivered !== this.delivered) this.quietTurns = 0;
    this.delivered = delivered;
    let left = this.isBusy ? TURN_BYTES : Number.POSITIVE_INFINITY;
    for (const [connection, bytes] of this.waiting) {
      if (left <= 0 || this.isCongested()) break;
      left -= Math.max(1, bytes);
      this.waiting.delete(connection);
      this.onTurn(connection);
      connection.release(HOLD.turn);
    }
    if (this.waiting.size > 0 && !this.isCongested()) this.open();
  };
}
