/** Selecting and renaming fields of decoded payloads, by dotted names. */
import { AppError } from "@myelin/kernel";

type Fields = Record<string, unknown>;

/** Keeps the named fields and drops all others. A list is worked through element by element. */
export function selectFields(value: unknown, names: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((element) => selectFields(element, names));
  const source = asFields(value);
  const out: Fields = {};
  for (const name of names) {
    const levels = name.split(".");
    const found = read(source, levels);
    if (found !== undefined) write(out, levels, found);
  }
  return out;
}

/** Moves fields to new names; fields that are not there are left alone. The value given is not changed. */
export function renameFields(value: unknown, names: Readonly<Record<string, string>>): unknown {
  if (Array.isArray(value)) return value.map((element) => renameFields(element, names));
  const source = asFields(value);
  const out = copy(source);
  const moved: [string[], unknown][] = [];
  for (const [from, to] of Object.entries(names)) {
    const levels = from.split(".");
    const found = read(source, levels);
    if (found === undefined) continue;
    remove(out, levels);
    moved.push([to.split("."), found]);
  }
  // After all removals, so that two fields can swap their names.
  for (const [levels, found] of moved) write(out, levels, found);
  return out;
}

function asFields(value: unknown): Fields {
  if (isFields(value)) return value;
  throw new AppError("contract.bad_payload", "fields can only be taken of an object");
}

function isFields(value: unknown): value is Fields {
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}

function read(source: Fields, levels: readonly string[]): unknown {
  let at: unknown = source;
  for (const level of levels) {
    if (!isFields(at) || !Object.hasOwn(at, level)) return undefined;
    at = at[level];
  }
  return at;
}

// Defined, not assigned: a field called __proto__ is a field like any other.
function put(target: Fields, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true });
}

function write(target: Fields, levels: readonly string[], value: unknown): void {
  let at = target;
  for (const level of levels.slice(0, -1)) {
    const next = Object.hasOwn(at, level) ? at[level] : undefined;
    const below = isFields(next) ? next : {};
    if (below !== next) put(at, level, below);
    at = below;
  }
  put(at, levels.at(-1)!, value);
}

function remove(target: Fields, levels: readonly string[]): void {
  let at = target;
  for (const level of levels.slice(0, -1)) {
    const next = Object.hasOwn(at, level) ? at[level] : undefined;
    if (!isFields(next)) return;
    at = next;
  }
  delete at[levels.at(-1)!];
}

function copy(source: Fields): Fields {
  const out: Fields = {};
  for (const [key, value] of Object.entries(source)) put(out, key, isFields(value) ? copy(value) : value);
  return out;
}
