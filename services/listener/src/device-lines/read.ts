/** Reads devices out of text: lines of NDJSON, or CSV. */
import { type DeviceChange, deviceFields } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import { type CsvError, type InfoRecord, parse } from "csv-parse";
import { LineCutter } from "../core/line-cutter.js";

/** A line that is a device, or why it is none. */
export type DeviceLine =
  | { readonly line: number; readonly change: DeviceChange }
  | { readonly line: number; readonly error: AppError };

const TRUTH = new Map([
  ["", true],
  ["true", true],
  ["false", false],
]);

/** How devices stand in text. */
export type DeviceFormat = "csv" | "ndjson";

/** Several times the largest record. */
const MAX_LINE_BYTES = 256 * 1024;

/**
 * Reads devices as they come. CSV has a heading: `id`, `profile`, `description`, `enabled`, `groups` (with spaces between, or a JSON list), `tags`
 * (a JSON object) and `tags.<name>` for single ones.
 * @throws AppError `device.unreadable` for a source that cannot be read, or CSV that cannot be told apart
 */
export async function* readDevices(
  source: AsyncIterable<Uint8Array>,
  format: DeviceFormat,
  tenant: string,
): AsyncGenerator<DeviceLine, void> {
  try {
    yield* format === "csv" ? readCsv(source, tenant) : readLines(source, tenant);
  } catch (thrown) {
    if (AppError.is(thrown)) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new AppError("device.unreadable", `the devices cannot be read: ${why}`, { cause: thrown });
  }
}

async function* readLines(
  source: AsyncIterable<Uint8Array>,
  tenant: string,
): AsyncGenerator<DeviceLine, void> {
  let found: DeviceLine[] = [];
  const cutter = new LineCutter(
    {
      onLine: (bytes, start, end, line) =>
        found.push(lineOf(line, () => toChange(tenant, parseJson(bytes.toString("utf8", start, end))))),
      onLongLine: (line) =>
        found.push({ line, error: new AppError("device.invalid", "the line is too long") }),
    },
    MAX_LINE_BYTES,
  );
  for await (const chunk of source) {
    cutter.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    const some = found;
    found = [];
    yield* some;
  }
  cutter.end();
  yield* found;
}

async function* readCsv(source: AsyncIterable<Uint8Array>, tenant: string): AsyncGenerator<DeviceLine, void> {
  const parser = parse({
    columns: true,
    bom: true,
    info: true,
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: MAX_LINE_BYTES,
  });
  const feeding = feed(source, parser);
  try {
    for await (const row of parser) {
      const { record, info } = row as Row;
      yield lineOf(info.lines, () => {
        expectAllColumns(info);
        return toChange(tenant, fromColumns(record));
      });
    }
  } finally {
    parser.destroy();
    await feeding;
  }
}

/** What the parser makes of a line; its types leave the heading out. */
interface Row {
  readonly record: Readonly<Record<string, string>>;
  readonly info: Omit<InfoRecord, "error"> & {
    readonly columns: readonly unknown[];
    readonly error: (CsvError & { readonly record?: readonly unknown[] }) | undefined;
  };
}

function expectAllColumns({ error, columns }: Row["info"]): void {
  if (error === undefined) return;
  const found = error.record?.length ?? 0;
  throw new AppError("device.invalid", `the line has ${found} fields, and the heading ${columns.length}`);
}

/** What the source ends with becomes the parser's end. */
async function feed(source: AsyncIterable<Uint8Array>, parser: ReturnType<typeof parse>): Promise<void> {
  try {
    for await (const chunk of source) {
      if (parser.destroyed) return;
      if (!parser.write(chunk)) await room(parser);
    }
    parser.end();
  } catch (thrown) {
    parser.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)));
  }
}

function room(parser: ReturnType<typeof parse>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      parser.off("drain", done).off("close", done);
      resolve();
    };
    parser.once("drain", done).once("close", done);
    if (parser.destroyed) done();
  });
}

function lineOf(line: number, make: () => DeviceChange): DeviceLine {
  try {
    return { line, change: make() };
  } catch (thrown) {
    return { line, error: AppError.from(thrown) };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError("device.invalid", "the line is no JSON", { cause });
  }
}

function fromColumns(record: Readonly<Record<string, string>>): object {
  const fields: [string, unknown][] = [];
  const tags: [string, unknown][] = [];
  for (const [column, text] of Object.entries(record)) {
    if (column.startsWith("tags.")) {
      if (text !== "") tags.push([column.slice(5), text]);
    } else if (column === "tags") tags.push(...Object.entries(jsonOf<object>(column, text, "{")));
    else if (column === "groups") fields.push([column, groupsOf(text)]);
    else if (column === "enabled") fields.push([column, TRUTH.get(text) ?? text]);
    else fields.push([column, text]);
  }
  return Object.fromEntries([...fields, ["tags", Object.fromEntries(tags)]]);
}

function groupsOf(text: string): readonly unknown[] {
  if (text.startsWith("[")) return jsonOf<readonly unknown[]>("groups", text, "[");
  return text.split(" ").filter((group) => group !== "");
}

/** Empty text is an empty value. */
function jsonOf<T>(path: string, text: string, opening: "{" | "["): T {
  const json = text === "" ? (opening === "{" ? "{}" : "[]") : text;
  if (json.startsWith(opening)) {
    try {
      return JSON.parse(json) as T;
    } catch {
      // Told below, like what begins with something else.
    }
  }
  throw new AppError("device.invalid", `${path} must be JSON that begins with ${opening}`, {
    details: { path },
  });
}

function toChange(tenant: string, value: unknown): DeviceChange {
  const { id } = (value ?? {}) as { readonly id?: unknown };
  if (typeof id !== "string")
    throw new AppError("device.invalid", "id must be text", { details: { path: "id" } });
  return { device: deviceFields(tenant, id, value) };
}
