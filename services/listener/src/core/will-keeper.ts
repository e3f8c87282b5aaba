/** Wills that wait: of clients that are gone and may be back before their will delay has passed. */
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { Identity } from "./admission.js";
import { deviceKey } from "./disconnect-log.js";

/** Beyond this many a will is published at once, which its client has to expect whenever its session ends early. */
export const MAX_WAITING_WILLS = 100_000;

interface Waiting {
  readonly timer: Timer;
  readonly publish: () => void;
}

/** One per process, since a client may come back by another port. That it came back to another listener is told by its claim there. */
export class WillKeeper implements Component {
  readonly name = "wills";
  private readonly waiting = new Map<string, Waiting>();

  constructor(private readonly clock: Clock) {}

  async start(): Promise<void> {}

  /** What waits is published now: nobody would do it later. */
  async stop(): Promise<void> {
    for (const key of [...this.waiting.keys()]) this.publishNow(key);
  }

  get size(): number {
    return this.waiting.size;
  }

  /** Calls `publish` after `delayMs` unless the client is back before; it replaces an older will of the same client. */
  keep(identity: Identity, delayMs: number, publish: () => void): void {
    const key = deviceKey(identity.tenant, identity.deviceId);
    this.publishNow(key);
    if (this.waiting.size >= MAX_WAITING_WILLS) {
      publish();
      return;
    }
    this.waiting.set(key, { timer: this.clock.setTimeout(() => this.publishNow(key), delayMs), publish });
  }

  /** The client is here again. @param clean it begins anew: its session has ended, so its will is due */
  back(identity: Pick<Identity, "tenant" | "deviceId">, clean: boolean): void {
    if (this.waiting.size === 0) return;
    const key = deviceKey(identity.tenant, identity.deviceId);
    if (clean) this.publishNow(key);
    else this.take(key);
  }

  private publishNow(key: string): void {
    this.take(key)?.publish();
  }

  private take(key: string): Waiting | undefined {
    const waiting = this.waiting.get(key);
    if (waiting === undefined) return undefined;
    this.waiting.delete(key);
    this.clock.clear(waiting.timer);
    return waiting;
  }
}
