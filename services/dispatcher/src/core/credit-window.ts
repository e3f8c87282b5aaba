/** What may be on the way to one receiver over all partitions and lanes of this process. */

/** Told when the window has room again. */
export interface WindowWaiter {
  /** Events are asked before telemetry. */
  readonly urgent: boolean;
  windowOpened(): void;
}

/** A window in envelopes and bytes. One batch always fits when nothing is on the way, however large it is. */
export class CreditWindow {
  private envelopes = 0;
  private bytes = 0;
  private readonly waiters = new Set<WindowWaiter>();
  private turn = 0;

  constructor(
    private maxEnvelopes: number,
    private maxBytes: number,
  ) {}

  /** Nothing is on the way. */
  get empty(): boolean {
    return this.envelopes === 0;
  }

  /** Sets new limits; what is on the way stays counted. */
  resize(maxEnvelopes: number, maxBytes: number): void {
    const grown = maxEnvelopes > this.maxEnvelopes || maxBytes > this.maxBytes;
    this.maxEnvelopes = maxEnvelopes;
    this.maxBytes = maxBytes;
    if (grown) this.wake();
  }

  /** Takes room; false when there is none, and `waiter` is called when there may be. */
  take(envelopes: number, bytes: number, waiter: WindowWaiter): boolean {
    const fits =
      this.envelopes === 0 ||
      (this.envelopes + envelopes <= this.maxEnvelopes && this.bytes + bytes <= this.maxBytes);
    if (!fits) {
      this.waiters.add(waiter);
      return false;
    }
    this.envelopes += envelopes;
    this.bytes += bytes;
    return true;
  }

  /** Gives room back. */
  release(envelopes: number, bytes: number): void {
    this.envelopes -= envelopes;
    this.bytes -= bytes;
    if (this.waiters.size > 0) this.wake();
  }

  forget(waiter: WindowWaiter): void {
    this.waiters.delete(waiter);
  }

  private wake(): void {
    const waiting = [...this.waiters];
    this.waiters.clear();
    // A different one begins each time, so that no partition starves behind another.
    const first = this.turn++ % Math.max(1, waiting.length);
    const turned = [...waiting.slice(first), ...waiting.slice(0, first)];
    for (const waiter of turned) if (waiter.urgent) waiter.windowOpened();
    for (const waiter of turned) if (!waiter.urgent) waiter.windowOpened();
  }
}
