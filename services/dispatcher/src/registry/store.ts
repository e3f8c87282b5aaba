/** Where the records of devices are kept for good. */

import type { KeyValue } from "@myelin/bus";
import { type Bus, openKeyValue } from "@myelin/bus";
import { BUCKETS, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** A record and the version that the store has given it. */
export interface StoredRecord {
  readonly record: Uint8Array;
  readonly version: number;
}

/** What is to be written. */
export interface StoreEntry {
  readonly tenant: string;
  readonly id: string;
  readonly record: Uint8Array;
  readonly expected: number;
}

/** Where the records of a store end, for a store whose versions count up over all of it. */
export interface StoreEnd {
  /** Another one, if the store was made anew. */
  readonly origin: string;
  /** The newest version, of whichever partition. */
  readonly last: number;
}

/** What every store must do. Called by the owner of the partition only. */
export interface DeviceStore {
  /**
   * Everything there is of a partition; what is written meanwhile may be told twice, the newer one last.
   * @param after only what has a larger version, in the order of versions; for stores that tell their end, 0 for others
   */
  read(partition: number, signal: AbortSignal, after: number): AsyncIterable<StoredRecord>;
  /** For whoever keeps a copy and wants to read on where it stands; without it a copy is made anew. @throws AppError `bus.*` */
  end?(): Promise<StoreEnd>;
  get(partition: number, tenant: string, id: string): Promise<StoredRecord | undefined>;
  /**
   * Each takes the place of the version it expects (0: there must be none), as one write where that goes. Resolves with the new version of
   * each, which is larger, or why it was not written: `store.conflict`, `bus.*`, `store.*`. Never rejects. Devices are different.
   */
  putAll(partition: number, entries: readonly StoreEntry[]): Promise<readonly (number | AppError)[]>;
  /** Leaves nothing of it, if it is still that version. @throws as `put`, without the conflict */
  erase(partition: number, tenant: string, id: string, version: number): Promise<void>;
  /** Called once, when nobody will use it any more. */
  close(): Promise<void>;
}

/** The store in JetStream: one key per device. Opens its bucket when it is first used. */
export class KeyValueDeviceStore implements DeviceStore {
  #bucket: Promise<KeyValue> | undefined;

  constructor(private readonly bus: Bus) {}

  async end(): Promise<StoreEnd> {
    const { created, lastRevision } = await (await this.#open()).end();
    return { origin: created, last: lastRevision };
  }

  async *read(partition: number, signal: AbortSignal, after: number): AsyncIterable<StoredRecord> {
    const bucket = await this.#open();
    for await (const { value, revision } of bucket.scan(String(partition), signal, after))
      yield { record: value, version: revision };
  }

  async get(partition: number, tenant: string, id: string): Promise<StoredRecord | undefined> {
    const found = await (await this.#open()).get(subjects.deviceKey(partition, tenant, id));
    return found === undefined ? undefined : { record: found.value, version: found.revision };
  }

  async putAll(partition: number, entries: readonly StoreEntry[]): Promise<readonly (number | AppError)[]> {
    const all = entries.map(({ tenant, id, record: value, expected }) => ({
      key: subjects.deviceKey(partition, tenant, id),
      value,
      expected,
    }));
    try {
      const bucket = await this.#open();
      if (all.length > 1) {
        try {
          return await bucket.putAll(all);
        } catch (thrown) {
          const error = AppError.from(thrown);
          // Nothing of it is written: one by one, so that one that is wrong does not refuse the others.
          if (error.code !== "store.conflict" && error.code !== "bus.refused") throw error;
        }
      }
      const puts = all.map(({ key, value, expected }) =>
        bucket.put(key, value, expected).catch((thrown: unknown) => AppError.from(thrown)),
      );
      return await Promise.all(puts);
    } catch (thrown) {
      const error = AppError.from(thrown);
      return all.map(() => error);
    }
  }

  async erase(partition: number, tenant: string, id: string, version: number): Promise<void> {
    await (await this.#open()).erase(subjects.deviceKey(partition, tenant, id), version);
  }

  /** The connection is the bus. */
  async close(): Promise<void> {}

  #open(): Promise<KeyValue> {
    this.#bucket ??= openKeyValue(this.bus, BUCKETS.devices).catch((thrown: unknown) => {
      this.#bucket = undefined;
      throw thrown;
    });
    return this.#bucket;
  }
}
