/** What programs ask of the registry of devices: over all partitions, each by its owner. */
import { createHash } from "node:crypto";
import { partitionOf, registry, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Bus } from "./api.js";
import {
  type DeviceFields,
  type DeviceRecord,
  fromWire,
  patchedFields,
  sizeOf,
  tagList,
  toWire,
} from "./device-record.js";

const ANSWER_WITHIN_MS = 10_000;
const AT_ONCE = 800;
const BYTES_AT_ONCE = 512 * 1024;
const PATCH_TRIES = 8;
const HASH_BYTES = 16;

const WISHES = { online: registry.PresenceWish.ONLINE, offline: registry.PresenceWish.OFFLINE } as const;

/** Tags, groups and a profile that one list can ask for. */
export const MAX_CONDITIONS = 16;

/** One change. `expected`: the version that it is meant for, 0: there must be none; left out, whatever there is. */
export interface DeviceChange {
  readonly device: DeviceFields;
  readonly remove?: boolean;
  readonly expected?: number | undefined;
  /** With `expected` 0: names the request, so that sending it again finds the device it has made. */
  readonly idempotencyKey?: string | undefined;
  /** The device itself asks to be made: refused with `auth.not_authorized` if it was deleted, as long as that is known. */
  readonly firstContact?: boolean;
}

/** What became of a change: the record as it is now, or why not. A removed device has neither. */
export interface DeviceOutcome {
  readonly device?: DeviceRecord;
  readonly error?: AppError;
  /** There was none before. */
  readonly created?: boolean;
}

/** Which devices; all that are given must hold. */
export interface DeviceList {
  readonly tenant: string;
  /** Goes on behind this id. */
  readonly after?: string;
  readonly limit: number;
  readonly profile?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly groups?: readonly string[];
  readonly idPrefix?: string;
  /** Only those that are disabled. */
  readonly disabled?: boolean;
  /** Offline ones are those too that have not been seen. */
  readonly presence?: "online" | "offline" | undefined;
}

/** Some devices, and whether there are more behind the last of them. */
export interface DevicePage {
  readonly devices: readonly DeviceRecord[];
  readonly more: boolean;
}

/** One per program. All of it throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder` besides what is said. */
export class DeviceRegistryClient {
  constructor(
    private readonly bus: Pick<Bus, "request">,
    private readonly partitions: number,
  ) {}

  /** @throws AppError `device.unknown` */
  async get(tenant: string, id: string): Promise<DeviceRecord> {
    const partition = partitionOf(tenant, id, this.partitions);
    const answer = await this.#ask(partition, { $case: "get", value: { keys: [{ tenant, id }] } });
    const [device] = registry.FoundDevices.decode(answer).devices;
    if (device === undefined) throw new AppError("device.unknown", `there is no device ${id}`);
    return fromWire(device);
  }

  /** Makes one change. @throws AppError `device.*`, `request.key_reused`, `store.conflict` */
  async write(change: DeviceChange): Promise<DeviceRecord | undefined> {
    return (await this.apply(change)).device;
  }

  /** As `write`, with all that is known of what became of it. @throws as `write` */
  async apply(change: DeviceChange): Promise<DeviceOutcome> {
    const [outcome] = await this.writeAll([change]);
    if (outcome?.error !== undefined) throw outcome.error;
    return outcome ?? {};
  }

  /**
   * Makes many changes, each for itself; the outcomes are in their order. What cannot be asked for at all is an outcome too.
   * @param options brief: outcomes without records
   */
  async writeAll(
    changes: readonly DeviceChange[],
    { brief = false }: { readonly brief?: boolean } = {},
  ): Promise<readonly DeviceOutcome[]> {
    const outcomes: DeviceOutcome[] = new Array(changes.length);
    const byPartition = new Map<number, number[]>();
    for (const [i, { device }] of changes.entries()) {
      const partition = partitionOf(device.tenant, device.id, this.partitions);
      const list = byPartition.get(partition);
      if (list === undefined) byPartition.set(partition, [i]);
      else list.push(i);
    }
    await Promise.all(
      [...byPartition].map(async ([partition, all]) => {
        for (const some of parcels(all, changes)) {
          const wanted = some.map((i) => changes[i]!);
          const found = await this.#writeSome(partition, wanted, brief);
          for (const [at, i] of some.entries()) outcomes[i] = found[at]!;
        }
      }),
    );
    return outcomes;
  }

  /**
   * Changes a record by a JSON merge patch (RFC 7396) of its fields; another change in between is taken in, unless `expected` names a version.
   * @throws AppError `device.unknown`, `device.invalid`, `device.version_conflict`
   */
  async patch(tenant: string, id: string, patch: unknown, expected?: number): Promise<DeviceRecord> {
    for (let attempt = 1; ; attempt++) {
      const known = await this.get(tenant, id);
      if (expected !== undefined && expected !== known.version) {
        throw new AppError(
          "device.version_conflict",
          `the device ${id} has version ${known.version}, not ${expected}`,
        );
      }
      try {
        return (await this.write({ device: patchedFields(known, patch), expected: known.version }))!;
      } catch (thrown) {
        const isOvertaken = AppError.is(thrown) && thrown.code === "device.version_conflict";
        if (!isOvertaken || expected !== undefined || attempt === PATCH_TRIES) throw thrown;
      }
    }
  }

  /**
   * A page over all partitions, in the order of the ids' UTF-8 bytes; shorter than `limit` where records are large.
   * @throws AppError `device.invalid` for more conditions than `MAX_CONDITIONS`
   */
  async list(wanted: DeviceList): Promise<DevicePage> {
    const { tenant, limit, after = "", profile = "", groups = [], idPrefix = "", disabled = false } = wanted;
    const presence =
      wanted.presence === undefined ? registry.PresenceWish.UNSPECIFIED : WISHES[wanted.presence];
    const tags = tagList(wanted.tags ?? {});
    if (tags.length + groups.length > MAX_CONDITIONS)
      throw new AppError("device.invalid", `a list takes ${MAX_CONDITIONS} tags and groups at most`);
    const value = { tenant, limit, after, profile, tags, groups: [...groups], idPrefix, disabled, presence };
    const answers = await Promise.all(
      Array.from({ length: this.partitions }, (_, partition) =>
        this.#ask(partition, { $case: "list", value }),
      ),
    );
    return merged(
      answers.map((answer) => registry.FoundDevices.decode(answer)),
      limit,
    );
  }

  /** How many devices have a profile. @throws AppError `store.*` */
  async count(tenant: string, profile: string): Promise<number> {
    const answers = await Promise.all(
      Array.from({ length: this.partitions }, (_, partition) =>
        this.#ask(partition, { $case: "count", value: { tenant, profile } }),
      ),
    );
    return answers.reduce((sum, answer) => sum + registry.CountedDevices.decode(answer).devices, 0);
  }

  /** Page after page until there are no more. @throws as `list` */
  async *pages(wanted: Omit<DeviceList, "limit">, limit: number): AsyncGenerator<readonly DeviceRecord[]> {
    for (let after = wanted.after ?? ""; ; ) {
      const { devices, more } = await this.list({ ...wanted, limit, after });
      yield devices;
      const last = devices.at(-1);
      if (!more || last === undefined) return;
      after = last.id;
    }
  }

  async #writeSome(
    partition: number,
    changes: readonly DeviceChange[],
    brief: boolean,
  ): Promise<readonly DeviceOutcome[]> {
    try {
      const value = { changes: changes.map(toChange), brief };
      const answer = await this.#ask(partition, { $case: "write", value });
      return registry.WrittenDevices.decode(answer).outcomes.map(toOutcome);
    } catch (thrown) {
      const error = AppError.from(thrown);
      return changes.map(() => ({ error }));
    }
  }

  #ask(partition: number, request: registry.Request["request"]): Promise<Uint8Array> {
    const data = registry.Request.encode({ partition, request }).finish();
    return this.bus.request(subjects.registryRequest(partition), data, ANSWER_WITHIN_MS);
  }
}

/** What goes in one request: bounded in number and in bytes, and so is its answer. */
function* parcels(all: readonly number[], changes: readonly DeviceChange[]): Generator<readonly number[]> {
  let some: number[] = [];
  let bytes = 0;
  for (const i of all) {
    const size = sizeOf(changes[i]!.device);
    if (some.length > 0 && (some.length === AT_ONCE || bytes + size > BYTES_AT_ONCE)) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(i);
    bytes += size;
  }
  if (some.length > 0) yield some;
}

/** In order, and only as far as every partition that has more has told. */
function merged(pages: readonly registry.FoundDevices[], limit: number): DevicePage {
  const all = pages
    .flatMap(({ devices }) => devices)
    .map((device) => ({ device, bytes: Buffer.from(device.id) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  const ends = pages
    .filter(({ more, devices }) => more && devices.length > 0)
    .map(({ devices }) => Buffer.from(devices.at(-1)!.id))
    .sort(Buffer.compare);
  const [end] = ends;
  const told = end === undefined ? all : all.filter(({ bytes }) => Buffer.compare(bytes, end) <= 0);
  return {
    devices: told.slice(0, limit).map(({ device }) => fromWire(device)),
    more: end !== undefined || told.length > limit,
  };
}

function toChange({
  device,
  remove = false,
  expected,
  idempotencyKey,
  firstContact = false,
}: DeviceChange): registry.Change {
  return {
    device: toWire(device, idempotencyKey === undefined ? {} : requestOf(device, idempotencyKey)),
    remove,
    firstContact,
    condition: expected === undefined ? undefined : { $case: "expectedVersion", value: expected },
  };
}

function requestOf(device: DeviceFields, key: string) {
  return {
    creationKey: hash(Buffer.from(key)),
    creationDigest: hash(registry.Device.encode(toWire(device)).finish()),
  };
}

function hash(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest().subarray(0, HASH_BYTES);
}

function toOutcome({ device, code, message, retryable, path, created }: registry.Outcome): DeviceOutcome {
  if (code !== "") {
    const details = path === "" ? {} : { path };
    return { error: AppError.fromWire({ code, message, retryable, details }) };
  }
  return device === undefined ? { created } : { device: fromWire(device), created };
}
