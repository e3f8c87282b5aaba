/** A small consistent store in a NATS bucket. */

import { AppError } from "@myelin/kernel";
import { jetstream, jetstreamManager, type StoredMsg } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/nats-core";
import type { Bus, KeyValue, KeyValueEntry } from "../api.js";
import { busError } from "./errors.js";
import { type NatsBus, natsBusOf } from "./nats-bus.js";

/** A bucket as the contract lists it. */
export interface BucketSpec {
  readonly name: string;
  readonly history: number;
  readonly ttlMs: number;
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

  async *scan(prefix: string, signal: AbortSignal): AsyncIterable<KeyValueEntry> {
    const { name } = this.#spec;
    const root = `$KV.${name}.`;
    const filter = `${root}${prefix}.>`;
    for (let from = 1; !signal.aborted; ) {
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
    const { name, history, ttlMs } = this.#spec;
    try {
      const { client } = this.#bus;
      if (this.#opened?.client !== client) {
        const manager = new Kvm(jetstream(client, { timeout: ANSWER_TIMEOUT_MS }));
        const bucket = await manager.create(name, { history, ttl: ttlMs, replicas: this.#replicas });
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

const PAGE = { batch: 4_096, max_bytes: 4 * 1024 * 1024 };

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
