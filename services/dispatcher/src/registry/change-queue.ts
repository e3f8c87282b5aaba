/** Changes of one partition's records, in order: what comes while a write is on the way is the next write, so that many cost little more than one. */
import { registry } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { BarTeller } from "./bar-teller.js";
import { recordProblem } from "./record.js";
import type { DeviceStore } from "./store.js";
import type { DeviceTable, TableEntry } from "./table/device-table.js";

export interface ChangeQueueOptions {
  readonly partition: number;
  readonly store: DeviceStore;
  readonly table: DeviceTable;
  readonly bars: BarTeller;
  readonly clock: Pick<Clock, "wallMs">;
  /** A device is new. */
  readonly onCreated: (tenant: string, id: string) => void;
  /** False once the lease is lost: what another owner has written since must not be overwritten or told wrong. */
  readonly isOwner: () => boolean;
  /** The record of a device was written or removed. */
  readonly onChange: (tenant: string, id: string) => void;
  /** The table cannot be written to: it lacks what was stored. */
  readonly onBroken: (error: AppError) => void;
}

interface Waiting {
  readonly change: registry.Change;
  /** The outcome is wanted without the record. */
  readonly brief: boolean;
  readonly resolve: (outcome: registry.Outcome) => void;
}

/** Something that nothing is written beside. */
type Alone = () => Promise<void>;

/** A change that can be made. */
interface Planned {
  readonly next: registry.Device;
  readonly record: Uint8Array;
  readonly expected: number;
  readonly isNew: boolean;
  readonly brief: boolean;
  readonly resolve: (outcome: registry.Outcome) => void;
}

const DONE = registry.Outcome.fromPartial({});
const CREATED = registry.Outcome.fromPartial({ created: true });
/** An atomic batch of NATS takes a thousand. */
const MAX_AT_ONCE = 800;
const MAX_BYTES = 512 * 1024;

/** Callers bound what waits: each of their requests is bounded, and answered when its changes are made. */
export class ChangeQueue {
  #waiting: (Waiting | Alone)[] = [];
  #isRunning = false;
  /** The table has everything that the store has, up to the last version that was written. */
  #isCertain = true;

  constructor(private readonly options: ChangeQueueOptions) {}

  /** Resolves with what became of it; never rejects. */
  apply(change: registry.Change, brief: boolean): Promise<registry.Outcome> {
    return new Promise((resolve) => this.#push({ change, brief, resolve }));
  }

  /** Runs work when what came before is written, and lets nothing else be written meanwhile. @throws what it throws */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => this.#push(() => work().then(resolve, reject)));
  }

  #push(one: Waiting | Alone): void {
    this.#waiting.push(one);
    if (this.#isRunning) return;
    this.#isRunning = true;
    // With the end of the running turn, so that the changes of one request are one write.
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      for (let at = 0; at < waiting.length; ) {
        const head = waiting[at]!;
        if (typeof head === "function") {
          at += 1;
          await head();
          continue;
        }
        const { batch, next } = this.#gather(waiting, at);
        at = next;
        if (batch.length > 0) await this.#write(batch);
      }
    }
    this.#isRunning = false;
  }

  /** What can go in one write: one change per device. */
  #gather(waiting: readonly (Waiting | Alone)[], from: number): { batch: Planned[]; next: number } {
    const batch: Planned[] = [];
    const keys = new Set<string>();
    let bytes = 0;
    let next = from;
    for (; next < waiting.length && batch.length < MAX_AT_ONCE && bytes < MAX_BYTES; next++) {
      const one = waiting[next]!;
      if (typeof one === "function") break;
      const { tenant = "", id = "" } = one.change.device ?? {};
      const key = `${tenant}\0${id}`;
      // The next one of a device is decided by what this one leaves.
      if (keys.has(key)) break;
      const planned = this.#tryPlan(one);
      if (planned === undefined) continue;
      keys.add(key);
      batch.push(planned);
      bytes += planned.record.length;
    }
    return { batch, next };
  }

  /** Undefined: its outcome is told already. */
  #tryPlan({ change, brief, resolve }: Waiting): Planned | undefined {
    try {
      const planned = this.#plan(change);
      if ("next" in planned) return { ...planned, brief, resolve };
      resolve(brief ? CREATED : registry.Outcome.fromPartial(planned));
    } catch (thrown) {
      resolve(failed(AppError.from(thrown)));
    }
    return undefined;
  }

  #plan({
    device,
    remove,
    condition,
    firstContact,
  }: registry.Change):
    | Omit<Planned, "brief" | "resolve">
    | { readonly device: registry.Device; readonly created: true } {
    const { isOwner, partition, table, clock } = this.options;
    if (!isOwner()) throw released(partition);
    if (device === undefined) throw new AppError("internal.invalid_argument", "a change of no device");
    const { tenant, id } = device;
    const known = table.get(tenant, id);
    const version = known?.version ?? 0;
    if (known !== undefined && condition?.value === 0 && isRepeated(known.device, device))
      return { device: known.device, created: true };
    if (condition !== undefined && condition.value !== version)
      throw mismatch(id, condition.value, known?.version);
    if (firstContact && known === undefined && table.marker(tenant, id) > 0)
      throw new AppError("auth.not_authorized", `the device ${id} was deleted`);
    const nowMs = clock.wallMs();
    if (remove) {
      if (known === undefined) throw new AppError("device.unknown", `there is no device ${id}`);
      return planned(registry.Device.fromPartial({ tenant, id, deleted: true, updatedAtMs: nowMs }), version);
    }
    const problem = recordProblem(device);
    if (problem !== undefined)
      throw new AppError("device.invalid", problem.rule, { details: { path: problem.path } });
    const { createdAtMs, creationKey, creationDigest } = known?.device ?? { ...device, createdAtMs: nowMs };
    const set = { createdAtMs, creationKey, creationDigest, updatedAtMs: nowMs, deleted: false, version: 0 };
    const next = { ...device, ...set, presence: undefined };
    return planned(next, known === undefined ? table.marker(tenant, id) : version, known === undefined);
  }

  async #write(batch: readonly Planned[]): Promise<void> {
    const { store, partition, isOwner, table } = this.options;
    const entries = batch.map(({ next: { tenant, id }, record, expected }) => ({
      ...{ tenant, id, record, expected },
    }));
    const results = await store.putAll(partition, entries);
    if (!isOwner()) return this.#refuse(batch, released(partition));
    const written: TableEntry[] = [];
    let through = 0;
    for (const [i, { next: device, record }] of batch.entries()) {
      const version = results[i]!;
      if (typeof version !== "number") {
        // Somebody else writes, or what was sent may be stored later: whoever reads the store next begins before it.
        this.#isCertain = false;
        continue;
      }
      written.push({ device, record, version });
      through = Math.max(through, version);
    }
    try {
      const place = this.#isCertain && table.place !== undefined ? { ...table.place, through } : undefined;
      if (written.length > 0) await table.put(written, { place });
    } catch (thrown) {
      const error = AppError.from(thrown);
      this.#refuse(batch, error);
      this.options.onBroken(error);
      return;
    }
    if (!isOwner()) return this.#refuse(batch, released(partition));
    const wrong: Promise<void>[] = [];
    for (const [i, one] of batch.entries()) {
      const result = results[i]!;
      if (typeof result === "number") this.#written(one, result);
      else wrong.push(this.#reread(one, result));
    }
    await Promise.all(wrong);
  }

  #refuse(batch: readonly Planned[], error: AppError): void {
    for (const { resolve } of batch) resolve(failed(error));
  }

  #written({ next, expected, isNew, brief, resolve }: Planned, version: number): void {
    const { table, bars, onChange, onCreated } = this.options;
    const { tenant, id } = next;
    // Also where nothing has changed in that: who is connected by mistake is told again.
    if (next.disabled || next.deleted || expected !== 0)
      bars.changed({ tenant, id }, next.disabled || next.deleted);
    onChange(tenant, id);
    if (isNew) onCreated(tenant, id);
    if (next.deleted || brief) resolve(isNew ? CREATED : DONE);
    else {
      const presence = table.presence(tenant, id);
      resolve(registry.Outcome.fromPartial({ device: { ...next, version, presence }, created: isNew }));
    }
  }

  /** After a conflict or an unknown end the store alone knows what holds. */
  async #reread({ next: { tenant, id }, resolve }: Planned, error: AppError): Promise<void> {
    const { partition, store, table, bars, onChange, isOwner } = this.options;
    try {
      const found = await store.get(partition, tenant, id);
      if (!isOwner()) throw released(partition);
      const { record, version = 0 } = found ?? {};
      const device =
        record === undefined ? registry.Device.fromPartial({ tenant, id }) : registry.Device.decode(record);
      await table.put([{ device, record, version }], { force: true });
      if (!isOwner()) throw released(partition);
      bars.changed({ tenant, id }, table.isBarred(tenant, id));
      onChange(tenant, id);
      resolve(failed(error));
    } catch (thrown) {
      resolve(failed(AppError.from(thrown)));
    }
  }
}

function planned(next: registry.Device, expected: number, isNew = false): Omit<Planned, "brief" | "resolve"> {
  return { next, record: registry.Device.encode(next).finish(), expected, isNew };
}

function failed({ code, message, retryable, details }: AppError): registry.Outcome {
  return registry.Outcome.fromPartial({ code, message, retryable, path: String(details?.path ?? "") });
}

function released(partition: number): AppError {
  return new AppError("request.no_responder", `partition ${partition} has another owner`);
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
