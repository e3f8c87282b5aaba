/** Where shadows are kept for good. */
import { type Bus, type KeyValue, openKeyValue } from "@myelin/bus";
import { BUCKETS, subjects, shadow as wire } from "@myelin/contract";
import type { ShadowKey } from "./api.js";
import { GroupedPuts } from "./grouped-puts.js";

/** A record and the revision the store has given it. */
export interface ShadowRecord {
  readonly record: wire.Record;
  readonly revision: number;
}

/** What every store must do. Called by the owner of the partition only. */
export interface ShadowStore {
  /** Everything there is of a partition; what is written meanwhile may be told twice, the newer one last. */
  read(partition: number, signal: AbortSignal): AsyncIterable<ShadowRecord>;
  /** All shadows of a device. */
  ofDevice(partition: number, tenant: string, device: string): Promise<readonly ShadowRecord[]>;
  get(partition: number, key: ShadowKey): Promise<ShadowRecord | undefined>;
  /**
   * Takes the place of the revision `expected` (0: there must be none); resolves with the new one.
   * @throws AppError `store.conflict`, `bus.*`
   */
  put(partition: number, key: ShadowKey, record: wire.Record, expected: number): Promise<number>;
  /** @throws as `put` */
  remove(partition: number, key: ShadowKey, expected: number): Promise<void>;
}

const DEVICE_WITHIN_MS = 5_000;

/** The store in JetStream: one key per shadow. Opens its bucket when it is first used. */
export class KeyValueShadowStore implements ShadowStore {
  readonly #puts = new GroupedPuts(() => this.#open());
  #bucket: Promise<KeyValue> | undefined;

  constructor(private readonly bus: Bus) {}

  async *read(partition: number, signal: AbortSignal): AsyncIterable<ShadowRecord> {
    yield* this.#scan(String(partition), signal);
  }

  async ofDevice(partition: number, tenant: string, device: string): Promise<readonly ShadowRecord[]> {
    const prefix = subjects.deviceKey(partition, tenant, device);
    const found: ShadowRecord[] = [];
    for await (const one of this.#scan(prefix, AbortSignal.timeout(DEVICE_WITHIN_MS))) found.push(one);
    return found;
  }

  async get(partition: number, key: ShadowKey): Promise<ShadowRecord | undefined> {
    const found = await (await this.#open()).get(keyOf(partition, key));
    return found === undefined
      ? undefined
      : { record: wire.Record.decode(found.value), revision: found.revision };
  }

  async put(partition: number, key: ShadowKey, record: wire.Record, expected: number): Promise<number> {
    return await this.#puts.put(keyOf(partition, key), wire.Record.encode(record).finish(), expected);
  }

  async remove(partition: number, key: ShadowKey, expected: number): Promise<void> {
    await (await this.#open()).delete(keyOf(partition, key), expected);
  }

  async *#scan(prefix: string, signal: AbortSignal): AsyncIterable<ShadowRecord> {
    const bucket = await this.#open();
    for await (const { value, revision } of bucket.scan(prefix, signal))
      yield { record: wire.Record.decode(value), revision };
  }

  #open(): Promise<KeyValue> {
    this.#bucket ??= openKeyValue(this.bus, BUCKETS.shadows).catch((thrown: unknown) => {
      this.#bucket = undefined;
      throw thrown;
    });
    return this.#bucket;
  }
}

function keyOf(partition: number, { tenant, device, name }: ShadowKey): string {
  return subjects.shadowKey(partition, tenant, device, name);
}
