/** Drives devices to what is desired of them, again and again with growing waits, and says how that goes. */
import type { ShadowKey } from "./api.js";
import type { JsonObject } from "./json.js";

export interface ReconcilerOptions {
  /** Tells the device what is desired of it and not reported; `attempt` counts from 1. */
  drive(key: ShadowKey, attempt: number): void;
  /** The device came, or went. */
  reachable(key: ShadowKey, isReachable: boolean): void;
  isConnected(key: ShadowKey): boolean;
  /** Something is under way to the device, and its end is told by `ended`: it is not driven meanwhile. */
  isBusy(key: ShadowKey): boolean;
  nowMs(): number;
}

interface Drift {
  readonly key: ShadowKey;
  /** What the device was told last, as JSON. */
  told: string;
  attempt: number;
  nextAtMs: number;
  isConnected: boolean;
}

const FIRST_WAIT_MS = 2_000;
const MAX_WAIT_MS = 300_000;
/** Devices that do not follow, of one partition. Beyond it they are told when they come, or when their shadow changes. */
const MAX_DRIFTS = 100_000;

/** One per partition. */
export class Reconciler {
  readonly #drifts = new Map<string, Drift>();

  constructor(private readonly options: ReconcilerOptions) {}

  get size(): number {
    return this.#drifts.size;
  }

  isDriven(tenant: string, device: string): boolean {
    return this.#drifts.size > 0 && this.#drifts.has(`${tenant}\0${device}\0`);
  }

  /** A shadow was read or changed. `isTold`: its device has just been told. */
  note(key: ShadowKey, delta: JsonObject | undefined, isTold: boolean): void {
    const name = nameOf(key);
    if (delta === undefined) {
      this.#drifts.delete(name);
      return;
    }
    const text = JSON.stringify(delta);
    const nowMs = this.options.nowMs();
    let drift = this.#drifts.get(name);
    if (drift === undefined) {
      if (this.#drifts.size >= MAX_DRIFTS) return;
      const isConnected = this.options.isConnected(key);
      drift = { key, told: text, attempt: 0, nextAtMs: nowMs, isConnected };
      this.#drifts.set(name, drift);
    } else if (drift.told !== text) {
      // It follows, or something else is desired: the waits begin anew.
      drift.attempt = 0;
      drift.nextAtMs = nowMs + FIRST_WAIT_MS;
      drift.told = text;
    }
    if (isTold) this.#told(drift, nowMs);
  }

  /** Called several times a second. */
  tick(): void {
    const nowMs = this.options.nowMs();
    for (const drift of this.#drifts.values()) {
      const isConnected = this.options.isConnected(drift.key);
      if (isConnected !== drift.isConnected) {
        drift.isConnected = isConnected;
        this.options.reachable(drift.key, isConnected);
        drift.attempt = 0;
        drift.nextAtMs = nowMs;
      }
      if (!isConnected || drift.nextAtMs > nowMs || this.options.isBusy(drift.key)) continue;
      this.#told(drift, nowMs);
      this.options.drive(drift.key, drift.attempt);
    }
  }

  /** What was under way to a device has ended. `isOld`: something else is desired meanwhile, so it is driven at once; otherwise the wait begins now. */
  ended(key: ShadowKey, isOld: boolean): void {
    const drift = this.#drifts.get(nameOf(key));
    if (drift === undefined) return;
    const nowMs = this.options.nowMs();
    drift.nextAtMs = isOld ? nowMs : Math.max(drift.nextAtMs, nowMs + waitMs(drift.attempt));
  }

  #told(drift: Drift, nowMs: number): void {
    drift.attempt += 1;
    drift.nextAtMs = nowMs + waitMs(drift.attempt);
  }
}

function waitMs(attempt: number): number {
  return Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.max(0, attempt - 1));
}

function nameOf({ tenant, device, name }: ShadowKey): string {
  return `${tenant}\0${device}\0${name}`;
}
