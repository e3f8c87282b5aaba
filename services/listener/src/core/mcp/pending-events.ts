/** The events of one connection that are not settled yet: their sequences and ids, without an object for each. */

const FIRST_CAPACITY = 16;
const FIRST_ID_BYTES = 512;
const WAITING = 0;
const STORED = 1;
const REFUSED = 2;

/** A ring by ordinal, ids in one buffer behind each other. Both grow with what is under way, which the sender's window bounds. */
export class PendingEvents {
  /** Every event up to this sequence is settled, counted ones only. */
  settledSequence = 0;
  /** The same, but it stops for good at the first refused event. */
  storedSequence = 0;
  /** Ordinals of the oldest event under way and of the next one to come. */
  private first = 0;
  private next = 0;
  private refusedOne = false;
  /** The sequence before the first refused event that no error could name. */
  private ceiling = Number.POSITIVE_INFINITY;
  private lastSequence = 0;
  private sequences = new Float64Array(FIRST_CAPACITY);
  private states = new Uint8Array(FIRST_CAPACITY);
  /** Where each id begins, counted from the connection's start; it ends where the next begins. */
  private idStarts = new Float64Array(FIRST_CAPACITY);
  private ids = Buffer.allocUnsafe(FIRST_ID_BYTES);
  /** What the first byte of `ids` is in that count. */
  private idBase = 0;
  private idEnd = 0;

  get size(): number {
    return this.next - this.first;
  }

  /** How far an acknowledgement may reach: its device would take a refused event for stored if it was told of neither by name. */
  get ackSequence(): number {
    return Math.min(this.settledSequence, this.ceiling);
  }

  /**
   * A refused event that was never under way: what follows cannot be called stored up to.
   * @param unnamed its sequence where the error could not say its id, else 0
   */
  refusedAtOnce(unnamed: number): void {
    this.refusedOne = true;
    this.keepBelow(unnamed);
  }

  /** Bytes that could not be read may have been an event: nothing that came behind them is acknowledged by a sequence. */
  lostCount(): void {
    this.refusedAtOnce(this.lastSequence + 1);
  }

  /**
   * Copies the id. Returns the ordinal to settle it by.
   * @param sequence 0, or one that does not grow: the event is acknowledged by its id alone
   */
  add(sequence: number, bytes: Buffer, start: number, end: number): number {
    const ordinal = this.next;
    if (ordinal - this.first === this.sequences.length) this.grow();
    const slot = ordinal & (this.sequences.length - 1);
    const counted = sequence > this.lastSequence;
    if (counted) this.lastSequence = sequence;
    this.sequences[slot] = counted ? sequence : 0;
    this.states[slot] = WAITING;
    this.idStarts[slot] = this.idEnd;
    this.reserveId(end - start);
    bytes.copy(this.ids, this.idEnd - this.idBase, start, end);
    this.idEnd += end - start;
    this.next = ordinal + 1;
    return ordinal;
  }

  /** Valid until the event is settled. */
  idOf(ordinal: number): string {
    const mask = this.sequences.length - 1;
    const start = this.idStarts[ordinal & mask]!;
    const end = ordinal + 1 === this.next ? this.idEnd : this.idStarts[(ordinal + 1) & mask]!;
    return this.ids.toString("utf8", start - this.idBase, end - this.idBase);
  }

  /** True when the event has a sequence to be acknowledged by; false: only its id can. */
  isCounted(ordinal: number): boolean {
    const sequence = this.sequences[ordinal & (this.sequences.length - 1)]!;
    return sequence > 0 && sequence <= this.ceiling;
  }

  settle(ordinal: number, refused: boolean): void {
    const mask = this.sequences.length - 1;
    if (refused && this.idOf(ordinal) === "") this.keepBelow(this.sequences[ordinal & mask]!);
    this.states[ordinal & mask] = refused ? REFUSED : STORED;
    while (this.first < this.next) {
      const slot = this.first & mask;
      const state = this.states[slot]!;
      if (state === WAITING) return;
      if (state === REFUSED) this.refusedOne = true;
      const sequence = this.sequences[slot]!;
      if (sequence > 0) {
        this.settledSequence = sequence;
        if (!this.refusedOne) this.storedSequence = sequence;
      }
      this.first += 1;
    }
    this.idBase = this.idEnd;
  }

  private keepBelow(sequence: number): void {
    if (sequence > 0) this.ceiling = Math.min(this.ceiling, sequence - 1);
  }

  private grow(): void {
    const old = this.sequences.length;
    const sequences = new Float64Array(old * 2);
    const states = new Uint8Array(old * 2);
    const idStarts = new Float64Array(old * 2);
    for (let i = this.first; i < this.next; i++) {
      const from = i & (old - 1);
      const to = i & (old * 2 - 1);
      sequences[to] = this.sequences[from]!;
      states[to] = this.states[from]!;
      idStarts[to] = this.idStarts[from]!;
    }
    this.sequences = sequences;
    this.states = states;
    this.idStarts = idStarts;
  }

  private reserveId(bytes: number): void {
    if (this.idEnd - this.idBase + bytes <= this.ids.length) return;
    const live =
      this.first < this.next ? this.idStarts[this.first & (this.sequences.length - 1)]! : this.idEnd;
    const kept = this.idEnd - live;
    const target =
      (kept + bytes) * 2 <= this.ids.length
        ? this.ids
        : Buffer.allocUnsafe(Math.max(this.ids.length * 2, (kept + bytes) * 2));
    this.ids.copy(target, 0, live - this.idBase, this.idEnd - this.idBase);
    this.ids = target;
    this.idBase = live;
  }
}
