/** Asks the server whether it lives: ping at an interval, pong within a time, so many misses end the connection. */
import type { Clock, Timer } from "@myelin/kernel";

/** What the heartbeat does to its connection. */
export interface HeartbeatEvents {
  ping(nonce: number): void;
  /** Called at each missed pong, and with 0 as soon as the server is heard again. */
  onMisses(misses: number): void;
  /** The last allowed pong was missed. */
  onDead(): void;
}

/** One connection's heartbeat; a new connection gets a new one. */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #pongTimeoutMs: number;
  readonly #missedPongs: number;
  readonly #events: HeartbeatEvents;
  #interval: Timer | undefined;
  #waiting: Timer | undefined;
  #nonce = 0;
  #misses = 0;

  constructor(
    limits: { readonly clock: Clock; readonly pongTimeoutMs: number; readonly missedPongs: number },
    events: HeartbeatEvents,
  ) {
    this.#clock = limits.clock;
    this.#pongTimeoutMs = limits.pongTimeoutMs;
    this.#missedPongs = limits.missedPongs;
    this.#events = events;
  }

  start(intervalMs: number): void {
    this.stop();
    this.#interval = this.#clock.setInterval(() => this.#ping(), intervalMs);
  }

  /** Any message of the server shows that it lives. */
  heard(): void {
    this.#clock.clear(this.#waiting);
    this.#waiting = undefined;
    if (this.#misses === 0) return;
    this.#misses = 0;
    this.#events.onMisses(0);
  }

  stop(): void {
    this.#clock.clear(this.#interval);
    this.#clock.clear(this.#waiting);
    this.#interval = this.#waiting = undefined;
  }

  #ping(): void {
    this.#nonce += 1;
    this.#events.ping(this.#nonce);
    // With an interval below the timeout one ping is waited for at a time.
    this.#waiting ??= this.#clock.setTimeout(() => this.#miss(), this.#pongTimeoutMs);
  }

  #miss(): void {
    this.#waiting = undefined;
    this.#misses += 1;
    this.#events.onMisses(this.#misses);
    if (this.#misses < this.#missedPongs) return;
    this.stop();
    this.#events.onDead();
  }
}
