/** Keeps the subscriptions of apps in a bucket, so that their events wait for them while they are away. */
import { app, escapeToken, unescapeToken } from "@myelin/contract";
import type { AppDirectory, AppRecord } from "./app-directory.js";
import type { CoreLog } from "./ports.js";

/** The part of the bus's KeyValue that is used. */
export interface AppBucket {
  put(key: string, value: Uint8Array): Promise<number>;
  entries(): Promise<{ readonly key: string; readonly value: Uint8Array }[]>;
  watch(signal: AbortSignal): AsyncIterable<{ readonly key: string; readonly value: Uint8Array | undefined }>;
}

/** Reads what is there at the start, follows what others write, and writes what is new here. */
export class AppStore {
  private readonly stopping = new AbortController();
  private readonly written = new Map<string, string>();
  private readonly dirty = new Map<string, AppRecord>();
  private writing = false;
  private bucket: AppBucket | undefined;
  private following: Promise<void> | undefined;

  constructor(
    private readonly directory: () => AppDirectory,
    private readonly log: CoreLog,
    private readonly sleep: (ms: number) => Promise<void>,
  ) {}

  /** Resolves when the apps that were known before are known here. */
  async start(bucket: AppBucket): Promise<void> {
    this.bucket = bucket;
    for (const { key, value } of await bucket.entries()) this.take(key, value);
    this.following = this.follow(bucket);
    void this.writeAll();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.following;
  }

  /** Stores a record soon; the newest of an app wins. */
  keep(record: AppRecord): void {
    this.dirty.set(record.app, record);
    void this.writeAll();
  }

  private async follow(bucket: AppBucket): Promise<void> {
    try {
      for await (const { key, value } of bucket.watch(this.stopping.signal)) this.take(key, value);
    } catch (err) {
      if (!this.stopping.signal.aborted) this.log.error({ err }, "stored apps are no longer followed");
    }
  }

  private take(key: string, value: Uint8Array | undefined): void {
    const name = nameOf(key);
    if (name === undefined) return;
    if (value === undefined) {
      this.written.delete(name);
      this.directory().delete(name);
      return;
    }
    const record = parseRecord(name, value);
    if (record === undefined) return;
    this.written.set(name, JSON.stringify(record));
    this.directory().restore(record);
  }

  private async writeAll(): Promise<void> {
    const { bucket } = this;
    if (bucket === undefined || this.writing) return;
    this.writing = true;
    for (let waitMs = 100; this.dirty.size > 0 && !this.stopping.signal.aborted; ) {
      const [name, record] = this.dirty.entries().next().value!;
      const text = JSON.stringify(record);
      try {
        if (this.written.get(name) !== text) await bucket.put(keyOf(name), Buffer.from(text));
        this.written.set(name, text);
        if (this.dirty.get(name) === record) this.dirty.delete(name);
        waitMs = 100;
      } catch (err) {
        this.log.debug({ err, app: name }, "an app's subscriptions cannot be stored, will retry");
        await this.sleep(waitMs);
        waitMs = Math.min(5_000, waitMs * 2);
      }
    }
    this.writing = false;
  }
}

// Bucket keys may hold `=` but the empty name's token is that alone, which NATS takes too.
function keyOf(name: string): string {
  return escapeToken(name);
}

function nameOf(key: string): string | undefined {
  return unescapeToken(key);
}

function parseRecord(name: string, value: Uint8Array): AppRecord | undefined {
  try {
    const { subscriptions } = JSON.parse(Buffer.from(value).toString("utf8")) as { subscriptions?: unknown };
    if (!Array.isArray(subscriptions)) return undefined;
    return { app: name, subscriptions: subscriptions.map((s) => app.Subscription.fromPartial(s)) };
  } catch {
    // Written by a version that knew another form: the app announces itself again when it comes back.
    return undefined;
  }
}
