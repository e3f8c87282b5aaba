/** The devices of one partition: the only writer of their records. */
import { registry } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { BarTeller } from "./bar-teller.js";
import type { DeviceTable, Marker } from "./device-table.js";
import { recordProblem } from "./record.js";
import type { DeviceStore, StoredRecord } from "./store.js";

const LOAD_AT_ONCE = 512;
/** Of records in one answer, above the largest record; NATS takes a few times as much from anybody. */
const MAX_ANSWER_BYTES = 256 * 1024;

type Done = Partial<Pick<registry.Outcome, "device" | "created">>;

export interface ShardOptions {
  readonly partition: number;
  readonly store: DeviceStore;
  readonly table: DeviceTable;
  readonly bars: BarTeller;
  /** A device is new. */
  readonly onCreated: (tenant: string, id: string) => void;
  readonly clock: Pick<Clock, "wallMs" | "sleep">;
  /** False once the lease is lost: what another owner has written since must not be overwritten or told wrong. */
  readonly isOwner: () => boolean;
  /** The record of a device was written or removed. */
  readonly onChange: (tenant: string, id: string) => void;
}

/** Answers from its table, and writes to the store first. */
export class DeviceShard {
  /** Devices with a change under way; the next one waits for it. */
  readonly #busy = new Map<string, Promise<unknown>>();

  constructor(private readonly options: ShardOptions) {}

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
    const old = this.options.table.markersUpTo(upToMs, limit);
    await Promise.all(old.map((marker) => this.#inTurn(marker, () => this.#purge(marker))));
    return old.length;
  }

  async #purge({ tenant, id, version }: Marker): Promise<void> {
    const { table, store, partition, bars } = this.options;
    // Made again meanwhile.
    if (table.marker(tenant, id) !== version) return;
    await store.erase(partition, tenant, id, version);
    this.#expectOwner();
    table.remove(tenant, id);
    bars.changed({ tenant, id }, false);
  }

  /** All at once; the changes of one device in their order. */
  async write({ changes, brief }: registry.WriteDevices): Promise<registry.WrittenDevices> {
    const outcomes = await Promise.all(changes.map((change) => this.#ordered(change)));
    return { outcomes: brief ? outcomes.map((outcome) => ({ ...outcome, device: undefined })) : outcomes };
  }

  #ordered(change: registry.Change): Promise<registry.Outcome> {
    return this.#inTurn(change.device ?? { tenant: "", id: "" }, () => this.#apply(change));
  }

  async #inTurn<T>({ tenant, id }: registry.Key, work: () => Promise<T>): Promise<T> {
    const key = `${tenant}\0${id}`;
    const before = this.#busy.get(key) ?? Promise.resolve();
    const own = before.then(work, work);
    this.#busy.set(key, own);
    try {
      return await own;
    } finally {
      if (this.#busy.get(key) === own) this.#busy.delete(key);
    }
  }

  async #apply(change: registry.Change): Promise<registry.Outcome> {
    try {
      return registry.Outcome.fromPartial(await this.#change(change));
    } catch (thrown) {
      const { code, message, retryable, details } = AppError.from(thrown);
      return registry.Outcome.fromPartial({ code, message, retryable, path: String(details?.path ?? "") });
    }
  }

  async #change({ device, remove, condition }: registry.Change): Promise<Done> {
    this.#expectOwner();
    if (device === undefined) throw new AppError("internal.invalid_argument", "a change of no device");
    const { table, clock } = this.options;
    const { tenant, id } = device;
    const known = table.get(tenant, id);
    const version = known?.version ?? 0;
    if (known !== undefined && condition?.value === 0 && isRepeated(known.device, device))
      return { device: known.device, created: true };
    if (condition !== undefined && condition.value !== version)
      throw mismatch(id, condition.value, known?.version);
    const nowMs = clock.wallMs();
    if (remove) {
      if (known === undefined) throw new AppError("device.unknown", `there is no device ${id}`);
      const marker = registry.Device.fromPartial({ tenant, id, deleted: true, updatedAtMs: nowMs });
      await this.#store(marker, version);
      return {};
    }
    const problem = recordProblem(device);
    if (problem !== undefined)
      throw new AppError("device.invalid", problem.rule, { details: { path: problem.path } });
    const { createdAtMs, creationKey, creationDigest } = known?.device ?? { ...device, createdAtMs: nowMs };
    const set = { createdAtMs, creationKey, creationDigest, updatedAtMs: nowMs, deleted: false, version: 0 };
    const next = { ...device, ...set, presence: undefined };
    const written = await this.#store(next, known === undefined ? table.marker(tenant, id) : version);
    if (known === undefined) this.options.onCreated(tenant, id);
    const presence = table.presence(tenant, id);
    return { device: { ...next, version: written, presence }, created: known === undefined };
  }

  async #store(next: registry.Device, expected: number): Promise<number> {
    const { partition, store, table, bars, onChange } = this.options;
    const { tenant, id } = next;
    const record = registry.Device.encode(next).finish();
    const written = await this.#stored(next, () => store.put(partition, tenant, id, record, expected));
    table.transaction(() => table.put(next, record, written));
    // Also where nothing has changed in that: who is connected by mistake is told again.
    bars.changed({ tenant, id }, next.disabled || next.deleted);
    onChange(tenant, id);
    return written;
  }

  /** After a conflict or an unknown end the store alone knows what holds. */
  async #stored<T>({ tenant, id }: registry.Device, write: () => Promise<T>): Promise<T> {
    try {
      const result = await write();
      this.#expectOwner();
      return result;
    } catch (thrown) {
      const { partition, store, table } = this.options;
      const found = await store.get(partition, tenant, id);
      if (found === undefined) table.remove(tenant, id);
      else this.#take([found]);
      this.options.bars.changed({ tenant, id }, table.isBarred(tenant, id));
      this.options.onChange(tenant, id);
      throw thrown;
    }
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

/** Has the same request made the device before? @throws AppError `request.key_reused` for one that said something else */
function isRepeated(known: registry.Device, device: registry.Device): boolean {
  const { creationKey, creationDigest } = known;
  if (creationKey.length === 0 || Buffer.compare(creationKey, device.creationKey) !== 0) return false;
  if (Buffer.compare(creationDigest, device.creationDigest) === 0) return true;
  throw new AppError(
    "request.key_reused",
    `the key of the request has made the device ${known.id} otherwise`,
  );
}

function mismatch(id: string, expected: number, found: number | undefined): AppError {
  if (expected === 0) return new AppError("device.exists", `there is a device ${id} already`);
  if (found === undefined) return new AppError("device.unknown", `there is no device ${id}`);
  return new AppError("device.version_conflict", `the device ${id} has version ${found}, not ${expected}`);
}
