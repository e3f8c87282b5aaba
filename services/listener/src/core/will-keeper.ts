/** Wills that wait: of clients that are gone and may be back before their will delay has passed. */
import { control } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { Identity } from "./admission.js";
import { deviceKey } from "./disconnect-log.js";
import type { Claimant } from "./session.js";

/** Beyond this many a will is published at once, which its client has to expect whenever its session ends early. */
export const MAX_WAITING_WILLS = 100_000;

/** Larger ones are known to their listener alone. */
const MAX_TOLD_BYTES = 256 * 1024;

/** Whose will it is: the connection that has ended. */
export type WillOwner = Pick<Claimant, "identity" | "number" | "protocol" | "address">;

/** A will whose client is away. */
export interface WaitingWill {
  readonly owner: WillOwner;
  readonly will: control.KeptWill;
  /** Monotonic. */
  readonly dueMs: number;
}

interface Waiting extends WaitingWill {
  readonly timer: Timer;
}

/** One per process, since a client may come back by another port. That it came back to another listener is told by its claim there. */
export class WillKeeper implements Component {
  readonly name = "wills";
  private readonly waiting = new Map<string, Waiting>();
  private onPublished: (owner: WillOwner) => void = () => {};

  constructor(
    private readonly clock: Clock,
    private readonly publish: (owner: WillOwner, will: control.KeptWill) => void,
  ) {}

  async start(): Promise<void> {}

  /** What waits is published now: when the whole deployment stops nobody else would do it. */
  async stop(): Promise<void> {
    for (const key of [...this.waiting.keys()]) this.publishNow(key);
  }

  get size(): number {
    return this.waiting.size;
  }

  /** Calls back when a will has been published because its time had come. */
  whenPublished(listener: (owner: WillOwner) => void): void {
    this.onPublished = listener;
  }

  /** Publishes the will after `delayMs`, or now if that is 0, unless the client is back before; it replaces an older one of the client. */
  keep(owner: WillOwner, delayMs: number, will: control.KeptWill): void {
    const key = keyOf(owner.identity);
    this.publishNow(key);
    if (delayMs <= 0 || this.waiting.size >= MAX_WAITING_WILLS) {
      this.publish(owner, will);
      return;
    }
    const timer = this.clock.setTimeout(() => {
      this.publishNow(key);
      this.onPublished(owner);
    }, delayMs);
    this.waiting.set(key, { owner, will, dueMs: this.clock.nowMs() + delayMs, timer });
  }

  /** The will of a client that is away. */
  of(identity: Pick<Identity, "tenant" | "deviceId">): WaitingWill | undefined {
    return this.waiting.get(keyOf(identity));
  }

  all(): Iterable<WaitingWill> {
    return this.waiting.values();
  }

  /** The client is here again. @param clean it begins anew: its session has ended, so its will is due */
  back(identity: Pick<Identity, "tenant" | "deviceId">, clean: boolean): void {
    if (this.waiting.size === 0) return;
    const key = keyOf(identity);
    if (clean) this.publishNow(key);
    else this.take(key);
  }

  private publishNow(key: string): void {
    const waiting = this.take(key);
    if (waiting !== undefined) this.publish(waiting.owner, waiting.will);
  }

  private take(key: string): Waiting | undefined {
    const waiting = this.waiting.get(key);
    if (waiting === undefined) return undefined;
    this.waiting.delete(key);
    this.clock.clear(waiting.timer);
    return waiting;
  }
}

/** A will as the owner of its client's partition is told it; empty for none, and for one that is too large. */
export function toldWill(will: control.KeptWill | undefined): Buffer {
  if (will === undefined) return NOTHING;
  const bytes = Buffer.from(control.KeptWill.encode(will).finish());
  return bytes.length > MAX_TOLD_BYTES ? NOTHING : bytes;
}

const NOTHING = Buffer.alloc(0);

function keyOf({ tenant, deviceId }: Pick<Identity, "tenant" | "deviceId">): string {
  return deviceKey(tenant, deviceId);
}
