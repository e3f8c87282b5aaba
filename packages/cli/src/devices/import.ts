/** Brings devices into the registry: lines of NDJSON or CSV, many at a time. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { type DeviceChange, type DeviceRegistryClient, deviceFields } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import { parse } from "csv-parse";

/** A line, or why it is none. */
export interface DeviceLine {
  readonly line: number;
  readonly change?: DeviceChange;
  readonly problem?: string;
}

const AT_ONCE = 2_000;
const MAX_LINE_BYTES = 256 * 1024;

/**
 * Reads devices out of text. CSV has a heading: `id`, `profile`, `description`, `groups` (with spaces between), and `tags.<name>` for each tag.
 * @throws AppError `config.unreadable` for a source that cannot be read, or CSV that cannot be told apart
 */
export async function* readDevices(
  source: Readable,
  format: "csv" | "ndjson",
  tenant: string,
): AsyncIterable<DeviceLine> {
  try {
    yield* format === "csv" ? readCsv(source, tenant) : readLines(source, tenant);
  } catch (thrown) {
    if (AppError.is(thrown)) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new AppError("config.unreadable", `the devices cannot be read: ${why}`, { cause: thrown });
  }
}

async function* readLines(source: Readable, tenant: string): AsyncIterable<DeviceLine> {
  const failed = new Promise<never>((_, reject) => source.once("error", reject));
  failed.catch(() => undefined);
  const lines = createInterface({ input: source, crlfDelay: Number.POSITIVE_INFINITY });
  let line = 0;
  for await (const text of lines) {
    line += 1;
    if (text.trim() === "") continue;
    yield lineOf(line, () => {
      if (text.length > MAX_LINE_BYTES) throw new AppError("device.invalid", "the line is too long");
      return toChange(tenant, parseJson(text));
    });
  }
  if (source.errored) await failed;
}

async function* readCsv(source: Readable, tenant: string): AsyncIterable<DeviceLine> {
  const parser = parse({
    columns: true,
    bom: true,
    info: true,
    skip_empty_lines: true,
    max_record_size: MAX_LINE_BYTES,
  });
  source.once("error", (error) => parser.destroy(error));
  for await (const row of source.pipe(parser)) {
    const { record, info } = row as { record: Record<string, string>; info: { lines: number } };
    yield lineOf(info.lines, () => toChange(tenant, fromColumns(record)));
  }
}

function lineOf(line: number, make: () => DeviceChange): DeviceLine {
  try {
    return { line, change: make() };
  } catch (thrown) {
    return { line, problem: AppError.from(thrown).message };
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
  const tags: [string, string][] = [];
  for (const [column, text] of Object.entries(record)) {
    if (column.startsWith("tags.")) {
      if (text !== "") tags.push([column.slice(5), text]);
    } else if (column === "groups") fields.push([column, text.split(" ").filter((group) => group !== "")]);
    else fields.push([column, text]);
  }
  return Object.fromEntries([...fields, ["tags", Object.fromEntries(tags)]]);
}

function toChange(tenant: string, value: unknown): DeviceChange {
  const { id } = (value ?? {}) as { readonly id?: unknown };
  if (typeof id !== "string") throw new AppError("device.invalid", "id must be text");
  return { device: deviceFields(tenant, id, value) };
}

/** Writes them, each for itself, over what is there; how many were written. */
export async function importDevices(
  client: Pick<DeviceRegistryClient, "writeAll">,
  lines: AsyncIterable<DeviceLine>,
  {
    onRefused,
    onProgress,
  }: {
    readonly onRefused: (line: number, message: string) => void;
    readonly onProgress: (written: number) => void;
  },
): Promise<number> {
  let written = 0;
  let some: DeviceLine[] = [];
  const flush = async (): Promise<void> => {
    const outcomes = await client.writeAll(some.map(({ change }) => change!));
    for (const [i, { error }] of outcomes.entries()) {
      if (error === undefined) written += 1;
      else onRefused(some[i]!.line, error.message);
    }
    some = [];
    onProgress(written);
  };
  for await (const one of lines) {
    if (one.change === undefined) onRefused(one.line, one.problem ?? "");
    else some.push(one);
    if (some.length === AT_ONCE) await flush();
  }
  if (some.length > 0) await flush();
  return written;
}
