/** A device's record as programs, files and the HTTP API see it. */
import { envelope, Protocol, registry } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** A device's record as programs see it. */
export interface DeviceRecord {
  /** Empty: the default one. */
  readonly tenant: string;
  readonly id: string;
  /** Name of a DeviceProfile; empty: none. */
  readonly profile: string;
  readonly description: string;
  /** False: it may not connect. */
  readonly enabled: boolean;
  readonly tags: Readonly<Record<string, string>>;
  readonly groups: readonly string[];
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Grows with each change. */
  readonly version: number;
  /** Absent: it has not been seen. */
  readonly presence?: DevicePresence;
}

/** Whether a device is connected, as its owner sees it: one that is back within a few seconds was not away. */
export interface DevicePresence {
  readonly online: boolean;
  readonly sinceMs: number;
  /** When its last connection ended; absent while it is online. */
  readonly seenMs?: number;
  /** Of its last connection; empty: not known. */
  readonly protocol: string;
  readonly address: string;
}

/** What somebody may say of a device; what is left out is empty, and the device enabled. */
export type DeviceFields = Pick<DeviceRecord, "tenant" | "id"> &
  Partial<Pick<DeviceRecord, "profile" | "description" | "enabled" | "tags" | "groups">>;

/** Deeper than any record: what is nested deeper is refused before it is walked. */
const MAX_DEPTH = 4;

const KNOWN = new Set([
  "id",
  "tenant",
  "profile",
  "description",
  "enabled",
  "tags",
  "groups",
  "createdAt",
  "updatedAt",
  "version",
  "presence",
]);

/**
 * Reads the fields of a record out of JSON, as the HTTP API and files give it. Keys that the platform sets itself are left aside.
 * @throws AppError `device.invalid` with the field as `path` in its details
 */
export function deviceFields(tenant: string, id: string, value: unknown): DeviceFields {
  if (!isObject(value)) throw invalid("", "a device is a JSON object");
  for (const key of Object.keys(value))
    if (!KNOWN.has(key))
      throw invalid(
        key.slice(0, 80),
        `${key.slice(0, 80)} is no field of a device; known are ${[...KNOWN].join(", ")}`,
      );
  const { profile = "", description = "", enabled = true, tags = {}, groups = [] } = value;
  if (typeof profile !== "string") throw invalid("profile", "profile must be text");
  if (typeof description !== "string") throw invalid("description", "description must be text");
  if (typeof enabled !== "boolean") throw invalid("enabled", "enabled must be true or false");
  if (!isObject(tags)) throw invalid("tags", "tags must be an object of texts");
  for (const [name, tag] of Object.entries(tags))
    if (typeof tag !== "string")
      throw invalid(`tags.${name.slice(0, 80)}`, "tags must be an object of texts");
  if (!Array.isArray(groups)) throw invalid("groups", "groups must be a list of texts");
  const bad = groups.findIndex((group) => typeof group !== "string");
  if (bad >= 0) throw invalid(`groups[${bad}]`, "groups must be a list of texts");
  return {
    tenant,
    id,
    profile,
    description,
    enabled,
    tags: tags as Record<string, string>,
    groups: groups as string[],
  };
}

/** A record as JSON, as the HTTP API and the command line show it. */
export function deviceJson({ tenant, createdAtMs, updatedAtMs, presence, ...rest }: DeviceRecord): object {
  return {
    ...(tenant !== "" && { tenant }),
    ...rest,
    createdAt: timeOf(createdAtMs),
    updatedAt: timeOf(updatedAtMs),
    ...(presence !== undefined && { presence: presenceJson(presence) }),
  };
}

function presenceJson({ online, sinceMs, seenMs, protocol, address }: DevicePresence): object {
  return {
    state: online ? "online" : "offline",
    since: timeOf(sinceMs),
    ...(seenMs !== undefined && { lastSeen: timeOf(seenMs) }),
    ...(protocol !== "" && { protocol }),
    ...(address !== "" && { address }),
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** The fields of a record after a JSON merge patch (RFC 7396). @throws AppError `device.invalid` */
export function patchedFields(known: DeviceRecord, patch: unknown): DeviceFields {
  const { tenant, id, profile, description, enabled, tags, groups } = known;
  const fields = { profile, description, enabled, tags, groups };
  return deviceFields(tenant, id, mergePatch(fields, patch, 1));
}

/** About as many bytes as the fields take on the wire. */
export function sizeOf({ id, profile = "", description = "", tags = {}, groups = [] }: DeviceFields): number {
  let length = id.length + profile.length + description.length + 64;
  for (const [name, value] of Object.entries(tags)) length += name.length + value.length + 6;
  for (const group of groups) length += group.length + 3;
  // Three bytes of UTF-8 for a character at most: a pair of surrogates takes four.
  return length * 3;
}

/** As NATS carries them. */
export function tagList(tags: Readonly<Record<string, string>>): registry.Tag[] {
  return Object.entries(tags).map(([name, value]) => ({ name, value }));
}

/** As the owner gets it. */
export function toWire(
  { tenant, id, profile = "", description = "", enabled = true, tags = {}, groups = [] }: DeviceFields,
  more: Partial<Pick<registry.Device, "creationKey" | "creationDigest">> = {},
): registry.Device {
  const fields = { tenant, id, profile, description, tags: tagList(tags), groups: [...groups] };
  return registry.Device.fromPartial({ ...fields, disabled: !enabled, ...more });
}

/** As the owner gives it. */
export function fromWire(device: registry.Device): DeviceRecord {
  const { tenant, id, profile, description, disabled, tags, groups } = device;
  const { createdAtMs, updatedAtMs, version, presence } = device;
  return {
    tenant,
    id,
    profile,
    description,
    enabled: !disabled,
    tags: Object.fromEntries(tags.map(({ name, value }) => [name, value])),
    groups,
    createdAtMs,
    updatedAtMs,
    version,
    ...(presence !== undefined && { presence: presenceOf(presence) }),
  };
}

function presenceOf({ online, sinceMs, seenMs, protocol, address }: registry.Presence): DevicePresence {
  const word =
    protocol === Protocol.UNSPECIFIED
      ? ""
      : envelope.protocolToJSON(protocol).slice(PREFIX.length).toLowerCase();
  return { online, sinceMs, ...(seenMs > 0 && { seenMs }), protocol: word, address };
}

const PREFIX = "PROTOCOL_";

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mergePatch(target: unknown, patch: unknown, depth: number): unknown {
  if (!isObject(patch)) return patch;
  if (depth > MAX_DEPTH) throw invalid("", "the patch is nested deeper than any device");
  const out = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) out.delete(key);
    else out.set(key, mergePatch(out.get(key), value, depth + 1));
  }
  return Object.fromEntries(out);
}

function invalid(path: string, message: string): AppError {
  return new AppError("device.invalid", message, path === "" ? {} : { details: { path } });
}
