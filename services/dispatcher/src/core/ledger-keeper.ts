/** Keeps the books beyond the process: written while they change, and closed by the next start when the process died. */
import { control, Lane } from "@myelin/contract";
import type { Clock, Timer } from "@myelin/kernel";
import type { Ledger } from "./ledger.js";
import type { CoreLog } from "./ports.js";

/** The part of the bus's KeyValue that is used. */
export interface LedgerBucket {
  put(key: string, value: Uint8Array): Promise<number>;
  delete(key: string): Promise<void>;
  entries(): Promise<{ readonly key: string; readonly value: Uint8Array }[]>;
}

export interface LedgerKeeperOptions {
  readonly service: string;
  readonly instance: string;
  readonly incarnation: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly ledger: Ledger;
}

const WRITE_EVERY_MS = 1_000;
/** Earlier starts whose books are shown; older ones are forgotten. */
const MAX_CLOSED = 8;

/** One per process. */
export class LedgerKeeper {
  private closed: control.LedgerSnapshot[] = [];
  private bucket: LedgerBucket | undefined;
  private obsolete: string[] = [];
  private timer: Timer | undefined;
  private written = "";
  private writing = false;

  constructor(private readonly options: LedgerKeeperOptions) {}

  /** Closes the books of earlier starts of this instance and begins to write. */
  async start(bucket: LedgerBucket): Promise<void> {
    this.bucket = bucket;
    const own = this.keyOf(this.options.incarnation);
    const prefix = own.slice(0, own.lastIndexOf(".") + 1);
    const earlier: control.LedgerSnapshot[] = [];
    for (const { key, value } of await bucket.entries()) {
      if (!key.startsWith(prefix) || key === own) continue;
      this.obsolete.push(key);
      const snapshot = tryDecode(value);
      if (snapshot !== undefined) earlier.push(closeBooks({ ...snapshot, closed: [] }), ...snapshot.closed);
    }
    this.closed = earlier.sort((a, b) => b.atUs - a.atUs).slice(0, MAX_CLOSED);
    this.timer = this.options.clock.setInterval(() => void this.write(), WRITE_EVERY_MS).unref();
    await this.write();
  }

  /** Writes a last time. */
  async stop(): Promise<void> {
    this.options.clock.clear(this.timer);
    await this.write();
  }

  /** The books as they are, those of earlier starts included. */
  snapshot(): control.LedgerSnapshot {
    const { service, instance, incarnation, clock, ledger } = this.options;
    return {
      service,
      instance,
      incarnation,
      atUs: clock.wallUs(),
      accounts: ledger.snapshot(),
      closed: this.closed,
    };
  }

  private async write(): Promise<void> {
    const { bucket } = this;
    if (bucket === undefined || this.writing) return;
    const snapshot = this.snapshot();
    const state = JSON.stringify(snapshot.accounts);
    if (state === this.written && this.obsolete.length === 0) return;
    this.writing = true;
    try {
      await bucket.put(this.keyOf(snapshot.incarnation), control.LedgerSnapshot.encode(snapshot).finish());
      this.written = state;
      // Only now: until the closed books stand in the new ones they are kept where they are.
      for (const key of this.obsolete.splice(0)) await bucket.delete(key);
    } catch (err) {
      this.options.log.debug({ err }, "the books cannot be written, will retry");
    } finally {
      this.writing = false;
    }
  }

  private keyOf(incarnation: number): string {
    const { service, instance } = this.options;
    return `${service}.${instance.replaceAll(".", "=2E")}.${incarnation}`;
  }
}

/** What a process had in memory when it died: telemetry is lost, events come again from their stream. */
export function closeBooks(snapshot: control.LedgerSnapshot): control.LedgerSnapshot {
  const accounts = snapshot.accounts.map((account) => {
    if (account.queued === 0) return account;
    const reason = account.lane === Lane.EVENT ? "requeued" : "process_died";
    return { ...account, queued: 0, dropped: [...account.dropped, { reason, count: account.queued }] };
  });
  return { ...snapshot, accounts };
}

function tryDecode(value: Uint8Array): control.LedgerSnapshot | undefined {
  try {
    return control.LedgerSnapshot.decode(value);
  } catch {
    // Not ours, or of a version to come; it expires with the bucket's age limit.
    return undefined;
  }
}
