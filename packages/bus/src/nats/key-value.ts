/** A small consistent store in a NATS bucket. */

import { AppError } from "@myelin/kernel";
import { jetstream, jetstreamManager, type StoredMsg } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import { type NatsConnection, nuid } from "@nats-io/nats-core";
import type { Bus, KeyValue, KeyValueEntry } from "../api.js";
import { busError, jetStreamError } from "./errors.js";
import { type NatsBus, natsBusOf } from "./nats-bus.js";

/** A bucket as the contract lists it. */
export interface BucketSpec {
  readonly name: string;
  readonly history: number;
  readonly ttlMs: number;
  /** Many can be written as one. */
  readonly atomic?: boolean;
}

const ANSWER_TIMEOUT_MS = 2_000;
const WATCH_AGAIN_MS = 500;

/**
 * Opens a bucket, making it where it is not there yet.
 * @throws AppError `bus.*` when NATS is away or refuses
 */
export async function openKeyValue(
  bus: Bus,
  bucket: BucketSpec,
  options: { readonly replicas?: number } = {},
): Promise<KeyValue> {
  const store = new NatsKeyValue(natsBusOf(bus), bucket, options.replicas ?? 1);
  await store.open();
  return store;
}

const BATCH_TIMEOUT_MS = 5_000;

/** To the commit of an atomic batch. */
interface BatchAnswer {
  readonly seq?: number;
  readonly count?: number;
  readonly error?: { readonly err_code?: number; readonly code?: number; readonly description?: string };
}

class NatsKeyValue implements KeyValue {
  readonly #bus: NatsBus;
  readonly #spec: BucketSpec;
  readonly #replicas: number;
  #opened: { readonly client: NatsConnection; readonly bucket: KV } | undefined;

  constructor(bus: NatsBus, spec: BucketSpec, replicas: number) {
    this.#bus = bus;
    this.#spec = spec;
    this.#replicas = replicas;
  }

  async open(): Promise<void> {
    await this.#run("open", async () => undefined);
  }

  get(key: string): Promise<KeyValueEntry | undefined> {
    return this.#run(`read ${key} of`, async (bucket) => {
      const entry = await bucket.get(key);
      if (entry === null || entry.operation !== "PUT") return undefined;
      return { key, value: entry.value, revision: entry.revision };
    });
  }

  put(key: string, value: Uint8Array, expected?: number): Promise<number> {
    return this.#run(`write ${key} of`, async (bucket) => {
      if (expected === undefined) return await bucket.put(key, value);
      return expected === 0 ? await bucket.create(key, value) : await bucket.update(key, value, expected);
    });
  }

  putAll(
    entries: readonly { readonly key: string; readonly value: Uint8Array; readonly expected: number }[],
  ): Promise<readonly number[]> {
    const { name } = this.#spec;
    if (entries.length === 0) return Promise.resolve([]);
    const what = `write ${entries.length} keys of`;
    return this.#run(what, async () => {
      const id = nuid.next();
      let answer: BatchAnswer = {};
      // The client's own batches leave out what is expected of all messages but the first, and tell no reason of a refusal (ADR-50).
      for (const [i, { key, value, expected }] of entries.entries()) {
        const subject = `$KV.${name}.${key}`;
        const fields: Record<string, string> = {
          "Nats-Batch-Id": id,
          "Nats-Batch-Sequence": String(i + 1),
          "Nats-Expected-Last-Subject-Sequence": String(expected),
        };
        if (i < entries.length - 1) {
          if (!this.#bus.publishWithHeaders(subject, value, fields))
            throw new AppError("bus.disconnected", `cannot ${what} the bucket ${name}: NATS is away`);
          continue;
        }
        fields["Nats-Batch-Commit"] = "1";
        const data = await this.#bus.requestWithHeaders(subject, value, fields, BATCH_TIMEOUT_MS);
        answer = JSON.parse(Buffer.from(data).toString()) as BatchAnswer;
      }
      if (answer.error !== undefined) {
        const { err_code: number = 0, code = 0, description = "" } = answer.error;
        throw jetStreamError(number, code, `cannot ${what} the bucket ${name}`, description);
      }
      if (answer.count !== entries.length || answer.seq === undefined)
        throw new AppError("bus.refused", `cannot ${what} the bucket ${name}: ${answer.count} were taken`);
      const first = answer.seq - entries.length + 1;
      return entries.map((_, i) => first + i);
    });
  }

  delete(key: string, expected?: number): Promise<void> {
    const options = expected === undefined ? {} : { previousSeq: expected };
    return this.#run(`delete ${key} of`, (bucket) => bucket.delete(key, options));
  }

  erase(key: string, revision: number): Promise<void> {
    return this.#run(`erase ${key} of`, async (_bucket, client) => {
      const { streams } = await jetstreamManager(client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS });
      const { name } = this.#spec;
      // Up to the revision and not beyond: what was written since stays.
      await streams.purge(`KV_${name}`, { filter: `$KV.${name}.${key}`, seq: revision + 1 });
    });
  }

  end(): Promise<{ readonly created: string; readonly lastRevision: number }> {
    return this.#run("look at", async (_bucket, client) => {
      const { streams } = await jetstreamManager(client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS });
      const { created, state } = await streams.info(`KV_${this.#spec.name}`);
      return { created: String(created), lastRevision: state.last_seq };
    });
  }

  async *scan(prefix: string, signal: AbortSignal, after = 0): AsyncIterable<KeyValueEntry> {
    const { name } = this.#spec;
    const root = `$KV.${name}.`;
    const filter = `${root}${prefix}.>`;
    for (let from = after + 1; !signal.aborted; ) {
      const found = await this.#run("scan", (_bucket, client) => page(client, `KV_${name}`, filter, from));
      for (const { subject, data, seq, header } of found) {
        from = seq + 1;
        if (header.get("KV-Operation") === "") {
          yield { key: subject.slice(root.length), value: data, revision: seq };
        }
      }
      if (found.length === 0) return;
    }
  }

  entries(): Promise<KeyValueEntry[]> {
    return this.#run("list", async (_bucket, client) => {
      const prefix = `$KV.${this.#spec.name}.`;
      const { direct } = await jetstreamManager(client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS });
      const found: KeyValueEntry[] = [];
      try {
        const last = await direct.getLastMessagesFor(`KV_${this.#spec.name}`, { multi_last: [`${prefix}>`] });
        for await (const message of last) {
          if (message.header.get("KV-Operation") !== "") continue;
          found.push({
            key: message.subject.slice(prefix.length),
            value: message.data,
            revision: message.seq,
          });
        }
      } catch (thrown) {
        if (!isEmpty(thrown)) throw thrown;
      }
      return found;
    });
  }

  async *watch(
    signal: AbortSignal,
  ): AsyncIterable<{ key: string; value: Uint8Array | undefined; revision: number }> {
    while (!signal.aborted) {
      try {
        const changes = await this.#run("watch", (bucket) => bucket.watch());
        const stop = (): void => changes.stop();
        signal.addEventListener("abort", stop, { once: true });
        try {
          for await (const entry of changes) {
            const value = entry.operation === "PUT" ? entry.value : undefined;
            yield { key: entry.key, value, revision: entry.revision };
          }
        } finally {
          signal.removeEventListener("abort", stop);
          stop();
        }
      } catch (thrown) {
        if (!AppError.is(thrown) || !thrown.retryable) throw thrown;
      }
      // NATS was away; the next watch begins with the latest value of every key. An aborted sleep ends the loop.
      await this.#bus.clock.sleep(WATCH_AGAIN_MS, signal).catch(() => undefined);
    }
  }

  async #run<T>(what: string, task: (bucket: KV, client: NatsConnection) => Promise<T>): Promise<T> {
    const { name, history, ttlMs, atomic = false } = this.#spec;
    try {
      const { client } = this.#bus;
      if (this.#opened?.client !== client) {
        const manager = new Kvm(jetstream(client, { timeout: ANSWER_TIMEOUT_MS }));
        const bucket = await manager.create(name, { history, ttl: ttlMs, replicas: this.#replicas });
        if (atomic) await allowAtomic(client, `KV_${name}`);
        this.#opened = { client, bucket };
      }
      return await task(this.#opened.bucket, client);
    } catch (thrown) {
      const error = busError(thrown, `cannot ${what} the bucket ${name}`);
      if (error.code !== "bus.conflict") throw error;
      throw new AppError("store.conflict", error.message, { cause: thrown });
    }
  }
}

/** The library makes buckets without it. */
async function allowAtomic(client: NatsConnection, stream: string): Promise<void> {
  const { streams } = await jetstreamManager(client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS });
  const { config } = await streams.info(stream);
  if (config.allow_atomic !== true) await streams.update(stream, { ...config, allow_atomic: true });
}

/** A message that was read takes some kilobytes until it is let go of. */
const PAGE = { batch: 1_024, max_bytes: 1024 * 1024 };

async function page(
  client: NatsConnection,
  stream: string,
  filter: string,
  from: number,
): Promise<StoredMsg[]> {
  const { direct } = await jetstreamManager(client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS });
  const found: StoredMsg[] = [];
  try {
    for await (const message of await direct.getBatch(stream, { seq: from, next_by_subj: filter, ...PAGE }))
      found.push(message);
  } catch (thrown) {
    if (!isEmpty(thrown)) throw thrown;
  }
  return found;
}

/** Of a request for many messages, "no message" means an empty answer. */
function isEmpty(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && (thrown.code === 404 || thrown.code === 10037);
}
