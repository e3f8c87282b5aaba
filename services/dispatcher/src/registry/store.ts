/** Where the records of devices are kept for good. */

import type { KeyValue } from "@myelin/bus";
import { type Bus, openKeyValue } from "@myelin/bus";
import { BUCKETS, subjects } from "@myelin/contract";

/** A record and the version that the store has given it. */
export interface StoredRecord {
  readonly record: Uint8Array;
  readonly version: number;
}

/** What every store must do. Called by the owner of the partition only. */
export interface DeviceStore {
  /** Everything there is of a partition; what is written meanwhile may be told twice, the newer one last. */
  read(partition: number, signal: AbortSignal): AsyncIterable<StoredRecord>;
  get(partition: number, tenant: string, id: string): Promise<StoredRecord | undefined>;
  /**
   * Takes the place of the version `expected` (0: there must be none); resolves with the new one, which is larger.
   * @throws AppError `store.conflict`, `bus.*`
   */
  put(partition: number, tenant: string, id: string, record: Uint8Array, expected: number): Promise<number>;
  /** Leaves nothing of it, if it is still that version. @throws as `put`, without the conflict */
  erase(partition: number, tenant: string, id: string, version: number): Promise<void>;
}

/** The store in JetStream: one key per device. Opens its bucket when it is first used. */
export class KeyValueDeviceStore implements DeviceStore {
  #bucket: Promise<KeyValue> | undefined;

  constructor(private readonly bus: Bus) {}

  async *read(partition: number, signal: AbortSignal): AsyncIterable<StoredRecord> {
    const bucket = await this.#open();
    for await (const { value, revision } of bucket.scan(String(partition), signal))
      yield { record: value, version: revision };
  }

  async get(partition: number, tenant: string, id: string): Promise<StoredRecord | undefined> {
    const found = await (await this.#open()).get(subjects.deviceKey(partition, tenant, id));
    return found === undefined ? undefined : { record: found.value, version: found.revision };
  }

  async put(
    partition: number,
    tenant: string,
    id: string,
    record: Uint8Array,
    expected: number,
  ): Promise<number> {
    return (await this.#open()).put(subjects.deviceKey(partition, tenant, id), record, expected);
  }

  async erase(partition: number, tenant: string, id: string, version: number): Promise<void> {
    await (await this.#open()).erase(subjects.deviceKey(partition, tenant, id), version);
  }

  #open(): Promise<KeyValue> {
    this.#bucket ??= openKeyValue(this.bus, BUCKETS.devices).catch((thrown: unknown) => {
      this.#bucket = undefined;
      throw thrown;
    });
    return this.#bucket;
  }
}
