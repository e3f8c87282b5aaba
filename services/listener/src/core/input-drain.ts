/** Ends the inputs in the right order: what was taken is stored and acknowledged before the clients are sent away. */
import type { SenderCounters } from "@myelin/bus";
import type { Clock, Component } from "@myelin/kernel";
import type { ConnectionManager } from "./connection-manager.js";

const LOOK_EVERY_MS = 20;

export class InputDrain implements Component {
  readonly name = "connections";

  constructor(
    private readonly connections: ConnectionManager,
    private readonly events: SenderCounters,
    private readonly clock: Clock,
    private readonly timeoutMs: number,
    /** Called first: whoever places devices is told to leave this listener out. */
    private readonly onDraining: () => void,
  ) {}

  async start(): Promise<void> {
    this.connections.start();
  }

  /** Reading stops, events on the way are waited for, then everybody is told goodbye; each at most `timeoutMs`. */
  async stop(): Promise<void> {
    this.onDraining();
    this.connections.stopReading();
    const until = this.clock.nowMs() + this.timeoutMs;
    while (this.events.queued() > 0 && this.clock.nowMs() < until) await this.clock.sleep(LOOK_EVERY_MS);
    await this.connections.drain(this.timeoutMs);
    this.connections.stop();
  }
}
