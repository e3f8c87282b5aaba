/** The devices of one partition: the only writer of their records. */
import { registry } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { ChangeQueue, type ChangeQueueOptions } from "./change-queue.js";
import type { DeviceList, TableEntry } from "./table/device-table.js";

const LOAD_AT_ONCE = 512;
/** Of records in one answer, above the largest record; NATS takes a few times as much from anybody. */
const MAX_ANSWER_BYTES = 256 * 1024;

/** What a shard stands on. */
export interface ShardOptions extends ChangeQueueOptions {
  readonly clock: Pick<Clock, "wallMs">;
}

/** Answers from its table, and writes to the store first. */
export class DeviceShard {
  readonly #queue: ChangeQueue;

  constructor(private readonly options: ShardOptions) {
    this.#queue = new ChangeQueue(options);
  }

  /** Brings the table to where the store is: reads what is newer, or all of it. @throws AppError `bus.*`, `store.*` */
  async load(signal: AbortSignal): Promise<void> {
    const { store, table, partition } = this.options;
    const end = await store.end?.();
    const known = table.place;
    // A store that has less than was read of it is another one, or has lost something.
    const isSame = end !== undefined && known?.origin === end.origin && known.through <= end.last;
    if (!isSame && (known !== undefined || table.size > 0)) await table.reset();
    if (!isSame && end !== undefined) table.startAt({ origin: end.origin, through: 0 });
    let some: TableEntry[] = [];
    const take = async (): Promise<void> => {
      const place = end && { origin: end.origin, through: some.at(-1)!.version };
      await table.put(some, { place });
      some = [];
    };
    for await (const { record, version } of store.read(partition, signal, isSame ? known.through : 0)) {
      some.push({ device: registry.Device.decode(record), record, version });
      if (some.length === LOAD_AT_ONCE) await take();
    }
    if (some.length > 0) await take();
    await table.clearPresence();
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

  async list(wanted: registry.ListDevices): Promise<registry.FoundDevices> {
    this.#expectOwner();
    const { devices, more }: DeviceList = await this.options.table.list(wanted, MAX_ANSWER_BYTES);
    this.#expectOwner();
    return { devices: devices.map(({ device }) => device), more };
  }

  /** Devices that have a profile. @throws AppError `store.*` */
  async count({ tenant, profile }: registry.CountDevices): Promise<number> {
    this.#expectOwner();
    return await this.options.table.count(tenant, profile);
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
      const { table, store, partition, bars } = this.options;
      const old = table.markersUpTo(upToMs, limit);
      await Promise.all(old.map(({ tenant, id, version }) => store.erase(partition, tenant, id, version)));
      this.#expectOwner();
      const entries = old.map(({ tenant, id }) => ({
        device: registry.Device.fromPartial({ tenant, id }),
        record: undefined,
        version: 0,
      }));
      if (entries.length > 0) await table.put(entries, { force: true });
      for (const { tenant, id } of old) bars.changed({ tenant, id }, false);
      return old.length;
    });
  }

  /** Each for itself, in their order. */
  async write({ changes, brief }: registry.WriteDevices): Promise<registry.WrittenDevices> {
    return { outcomes: await Promise.all(changes.map((change) => this.#queue.apply(change, brief))) };
  }

  #expectOwner(): void {
    if (this.options.isOwner()) return;
    throw new AppError("request.no_responder", `partition ${this.options.partition} has another owner`);
  }
}
