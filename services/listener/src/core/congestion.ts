/** Puts the congestion of both lanes together: inputs stop while either is congested. */
import type { EventSender, TelemetrySender, Unsubscribe } from "@myelin/bus";
import type { Clock, Component } from "@myelin/kernel";

export class CongestionWatch implements Component {
  readonly name = "congestion";
  private ends: Unsubscribe[] = [];
  private sinceMs: number | undefined;
  private totalMs = 0;

  /** @param onEnd called when neither lane is congested any more */
  constructor(
    private readonly senders: readonly (TelemetrySender | EventSender)[],
    private readonly clock: Clock,
    private readonly onEnd: () => void,
  ) {}

  async start(): Promise<void> {
    this.ends = this.senders.map((sender) => sender.onCongestion(() => this.changed()));
  }

  async stop(): Promise<void> {
    for (const end of this.ends.splice(0)) end();
  }

  /** Milliseconds in which inputs were stopped. */
  get ms(): number {
    return this.totalMs + (this.sinceMs === undefined ? 0 : this.clock.nowMs() - this.sinceMs);
  }

  private changed(): void {
    const congested = this.senders.some((sender) => sender.congested);
    if (congested) {
      this.sinceMs ??= this.clock.nowMs();
      return;
    }
    if (this.sinceMs !== undefined) this.totalMs += this.clock.nowMs() - this.sinceMs;
    this.sinceMs = undefined;
    this.onEnd();
  }
}
