/** What programs ask of the registry of devices: over all partitions, each by its owner. */
import { partitionOf, registry, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Bus } from "./api.js";

const ANSWER_WITHIN_MS = 10_000;
const AT_ONCE = 500;
const PATCH_TRIES = 8;

/** A device's record as programs see it. */
export interface DeviceRecord {
  /** Empty: the default one. */
  readonly tenant: string;
  readonly id: string;
  /** Name of a DeviceProfile; empty: none. */
  readonly profile: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly groups: readonly string[];
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Grows with each change. */
  readonly version: number;
}

/** What somebody may say of a device; what is left out is empty. */
export type DeviceFields = Pick<DeviceRecord, "tenant" | "id"> &
  Partial<Pick<DeviceRecord, "profile" | "description" | "tags" | "groups">>;

/** One change. `expected`: the version that it is meant for, 0: there must be none; left out, whatever there is. */
export interface DeviceChange {
  readonly device: DeviceFields;
  readonly remove?: boolean;
  readonly expected?: number | undefined;
}

/** What became of a change: the record as it is now, or why not. A removed device has neither. */
export interface DeviceOutcome {
  readonly device?: DeviceRecord;
  readonly error?: AppError;
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
}

/** One per program. All of it throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder` besides what is said. */
export class DeviceRegistryClient {
  constructor(
    private readonly bus: Bus,
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

  /** Makes one change. @throws AppError `device.*`, `store.conflict` */
  async write(change: DeviceChange): Promise<DeviceRecord | undefined> {
    const [outcome] = await this.writeAll([change]);
    if (outcome?.error !== undefined) throw outcome.error;
    return outcome?.device;
  }

  /** Makes many changes, each for itself; the outcomes are in their order. What cannot be asked for at all is an outcome too. */
  async writeAll(changes: readonly DeviceChange[]): Promise<readonly DeviceOutcome[]> {
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
        for (let from = 0; from < all.length; from += AT_ONCE) {
          const some = all.slice(from, from + AT_ONCE);
          const found = await this.#writeSome(
            partition,
            some.map((i) => changes[i]!),
          );
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
      const { profile, description, tags, groups } = known;
      const next = deviceFields(tenant, id, mergePatch({ profile, description, tags, groups }, patch));
      try {
        return (await this.write({ device: next, expected: known.version }))!;
      } catch (thrown) {
        const isOvertaken = AppError.is(thrown) && thrown.code === "device.version_conflict";
        if (!isOvertaken || expected !== undefined || attempt === PATCH_TRIES) throw thrown;
      }
    }
  }

  /** A page over all partitions, in the order of the ids' UTF-8 bytes. */
  async list(
    wanted: DeviceList,
  ): Promise<{ readonly devices: readonly DeviceRecord[]; readonly more: boolean }> {
    const { tenant, limit, after = "", profile = "", groups = [], idPrefix = "" } = wanted;
    const tags = tagList(wanted.tags ?? {});
    const value = { tenant, limit, after, profile, tags, groups: [...groups], idPrefix };
    const answers = await Promise.all(
      Array.from({ length: this.partitions }, (_, partition) =>
        this.#ask(partition, { $case: "list", value }),
      ),
    );
    const pages = answers.map((answer) => registry.FoundDevices.decode(answer));
    const all = pages
      .flatMap(({ devices }) => devices)
      .map((device) => ({ device, bytes: Buffer.from(device.id) }))
      .sort((a, b) => Buffer.compare(a.bytes, b.bytes));
    const more = all.length > limit || pages.some((page) => page.more);
    return { devices: all.slice(0, limit).map(({ device }) => fromWire(device)), more };
  }

  async #writeSome(partition: number, changes: readonly DeviceChange[]): Promise<readonly DeviceOutcome[]> {
    try {
      const value = { changes: changes.map(toChange) };
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

/**
 * Reads the fields of a record out of JSON, as the HTTP API and files give it. Keys that the platform sets itself are left aside.
 * @throws AppError `device.invalid`
 */
export function deviceFields(tenant: string, id: string, value: unknown): DeviceFields {
  if (!isObject(value)) throw new AppError("device.invalid", "a device is a JSON object");
  for (const key of Object.keys(value))
    if (!KNOWN.has(key))
      throw new AppError(
        "device.invalid",
        `${key} is no field of a device; known are ${[...KNOWN].join(", ")}`,
      );
  const { profile = "", description = "", tags = {}, groups = [] } = value;
  if (typeof profile !== "string") throw new AppError("device.invalid", "profile must be text");
  if (typeof description !== "string") throw new AppError("device.invalid", "description must be text");
  if (!isObject(tags) || Object.values(tags).some((tag) => typeof tag !== "string"))
    throw new AppError("device.invalid", "tags must be an object of texts");
  if (!Array.isArray(groups) || groups.some((group) => typeof group !== "string"))
    throw new AppError("device.invalid", "groups must be a list of texts");
  return {
    tenant,
    id,
    profile,
    description,
    tags: tags as Record<string, string>,
    groups: groups as string[],
  };
}

/** A record as JSON, as the HTTP API and the command line show it. */
export function deviceJson({ tenant, createdAtMs, updatedAtMs, ...rest }: DeviceRecord): object {
  return {
    ...(tenant !== "" && { tenant }),
    ...rest,
    createdAt: new Date(createdAtMs).toISOString(),
    updatedAt: new Date(updatedAtMs).toISOString(),
  };
}

const KNOWN = new Set([
  "id",
  "tenant",
  "profile",
  "description",
  "tags",
  "groups",
  "createdAt",
  "updatedAt",
  "version",
]);

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const out = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) out.delete(key);
    else out.set(key, mergePatch(out.get(key), value));
  }
  return Object.fromEntries(out);
}

function tagList(tags: Readonly<Record<string, string>>): registry.Tag[] {
  return Object.entries(tags).map(([name, value]) => ({ name, value }));
}

function toChange({ device, remove = false, expected }: DeviceChange): registry.Change {
  const { tenant, id, profile = "", description = "", tags = {}, groups = [] } = device;
  const fields = { tenant, id, profile, description, tags: tagList(tags), groups: [...groups] };
  return {
    device: { ...fields, createdAtMs: 0, updatedAtMs: 0, version: 0 },
    remove,
    condition: expected === undefined ? undefined : { $case: "expectedVersion", value: expected },
  };
}

function toOutcome({ device, code, message, retryable }: registry.Outcome): DeviceOutcome {
  if (code !== "") return { error: AppError.fromWire({ code, message, retryable, details: {} }) };
  return device === undefined ? {} : { device: fromWire(device) };
}

function fromWire({ tags, ...rest }: registry.Device): DeviceRecord {
  return { ...rest, tags: Object.fromEntries(tags.map(({ name, value }) => [name, value])) };
}
