/** The devices of one partition: the only writer of their records. */
import { registry } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { ChangeQueue, type ChangeQueueOptions } from "./change-queue.js";
import type { Marker } from "./device-table.js";
import type { StoredRecord } from "./store.js";

const LOAD_AT_ONCE = 512;
/** Of records in one answer, above the largest record; NATS takes a few times as much from anybody. */
const MAX_ANSWER_BYTES = 256 * 1024;

/** What a shard stands on. */
export interface ShardOptions extends ChangeQueueOptions {
  readonly clock: Pick<Clock, "wallMs" | "sleep">;
}

/** Answers from its table, and writes to the store first. */
export class DeviceShard {
  readonly #queue: ChangeQueue;

  constructor(private readonly options: ShardOptions) {
    this.#queue = new ChangeQueue(options);
  }

  /** Reads what is stored. @throws AppError `bus.*` */
  async load(signal: AbortSignal): Promise<void> {
    const { store, partition } = this.options;
    let some: StoredRecord[] = [];
    for await (const one of store.read(partition, signal)) {
      some.push(one);
      if (some.length < LOAD_AT_ONCE) continue;
      this.#take(some);
      some = [];
      // The process has messages to route meanwhile.
      await this.options.clock.sleep(0);
    }
    this.#take(some);
  }

  get({ keys }: registry.GetDevices): registry.FoundDevices {
    this.#expectOwner();
    const { table } = this.options;
    const devices: registry.Device[] = [];
    let bytes = 0;
    for (const { tenant, id } of keys) {
      const found = table.get(tenant, id);
      if (found === undefined) continue;
      bytes += found.bytes;
      if (bytes > MAX_ANSWER_BYTES) return { devices, more: true };
      devices.push(found.device);
    }
    return { devices, more: false };
  }

  list(wanted: registry.ListDevices): registry.FoundDevices {
    this.#expectOwner();
    const devices: registry.Device[] = [];
    let bytes = 0;
    for (const found of this.options.table.list(wanted)) {
      bytes += found.bytes;
      if (devices.length === wanted.limit || bytes > MAX_ANSWER_BYTES) return { devices, more: true };
      devices.push(found.device);
    }
    return { devices, more: false };
  }

  /** Devices that may not connect. */
  listBars({ after, limit }: registry.ListBars): registry.Bars {
    this.#expectOwner();
    const { table, bars } = this.options;
    const found = table.bars(after ?? { tenant: "", id: "" }, limit + 1);
    return { keys: found.slice(0, limit), more: found.length > limit, place: bars.place() };
  }

  /** Forgets for good what was deleted up to then; how many, at most `limit`. @throws AppError `store.*`, `bus.*` */
  async purge(upToMs: number, limit: number): Promise<number> {
    this.#expectOwner();
    return await this.#queue.alone(async () => {
      const old = this.options.table.markersUpTo(upToMs, limit);
      await Promise.all(old.map((marker) => this.#purge(marker)));
      return old.length;
    });
  }

  async #purge({ tenant, id, version }: Marker): Promise<void> {
    const { table, store, partition, bars } = this.options;
    await store.erase(partition, tenant, id, version);
    this.#expectOwner();
    table.remove(tenant, id);
    bars.changed({ tenant, id }, false);
  }

  /** Each for itself, in their order. */
  async write({ changes, brief }: registry.WriteDevices): Promise<registry.WrittenDevices> {
    return { outcomes: await Promise.all(changes.map((change) => this.#queue.apply(change, brief))) };
  }

  #take(records: readonly StoredRecord[]): void {
    const { table } = this.options;
    table.transaction(() => {
      for (const { record, version } of records) table.put(registry.Device.decode(record), record, version);
    });
  }

  #expectOwner(): void {
    if (this.options.isOwner()) return;
    throw new AppError("request.no_responder", `partition ${this.options.partition} has another owner`);
  }
}
