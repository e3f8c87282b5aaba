/** Clients above their rate: slowed down first, and after a while told that they are too fast. */
import type { MqttConnection } from "./mqtt-connection.js";

/** Who was in time for so long is a client that was too fast once, not one that goes on. */
const CALM_MS = 1_000;

interface Stretch {
  readonly sinceMs: number;
  /** When it may be read from again. */
  untilMs: number;
}

/** One per port; holds only those that are, or just were, too fast. */
export class RatePatience {
  private readonly stretches = new Map<MqttConnection, Stretch>();

  /** @param patienceMs 0: there is no end to it */
  constructor(private readonly patienceMs: number) {}

  /** It has to wait for `ms`. True: it has gone on like that for too long. */
  isOver(connection: MqttConnection, nowMs: number, ms: number): boolean {
    if (this.patienceMs === 0) return false;
    const known = this.stretches.get(connection);
    if (known === undefined || nowMs - known.untilMs > CALM_MS) {
      this.stretches.set(connection, { sinceMs: nowMs, untilMs: nowMs + ms });
      return false;
    }
    known.untilMs = nowMs + ms;
    return nowMs - known.sinceMs >= this.patienceMs;
  }

  forget(connection: MqttConnection): void {
    this.stretches.delete(connection);
  }
}
