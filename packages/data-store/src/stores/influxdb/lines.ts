/** Readings as lines (InfluxDB, line protocol). */
import { KIND_CODES, type ReadingColumns } from "../../reading-block.js";
import type { SeriesName } from "../../series-ids.js";
import { deviceKey, nameKey } from "../../series-key.js";
import { codeOf, isNumeric } from "../../stored-reading.js";

/** Longest string that a server takes. */
const MAX_VALUE_BYTES = 1024 * 1024;
const MAX_TAG = 200;
const BAD = 2;

/** As it stands in queries and lines: letters and digits only. */
export function keyOf(name: SeriesName): string {
  return nameKey(name).slice(0, 32);
}

/** Of all series of a device. */
export function deviceKeyOf(name: Pick<SeriesName, "tenant" | "device">): string {
  return deviceKey(name).slice(0, 32);
}

/**
 * What a time means to the server, in nanoseconds: it keeps one point for each time of a series, so the thousand nanoseconds of each
 * microsecond hold what differs in its reference. 0 is the place of what has none.
 */
export function nanosOf(timeUs: number, place: number): string {
  return String(BigInt(timeUs) * 1_000n + BigInt(place));
}

/** 0 to 999. */
export function placeOf(ref: number): number {
  return ref === 0 ? 0 : 1 + (ref % 999);
}

/** Below 8: it counts in sums. */
export const COUNTED = "m < 8";

/** Kind, quality and whether there is a reason, in one number. */
export function markOf(code: number, quality: number, hasReason: boolean): number {
  if (isNumeric(code) && quality < BAD) return code * 2 + quality + (hasReason ? 4 : 0);
  return 8 + code * 3 + quality + (hasReason ? 100 : 0);
}

/** What `markOf` has put together. */
export function partsOf(mark: number): {
  readonly kind: number;
  readonly quality: number;
  readonly hasReason: boolean;
} {
  if (mark < 8) return { kind: (mark % 4) >> 1, quality: mark & 1, hasReason: mark >= 4 };
  const rest = (mark - 8) % 100;
  return { kind: Math.floor(rest / 3), quality: rest % 3, hasReason: mark >= 108 };
}

/** Says once which series has which key. */
export function seriesLine(name: SeriesName): string {
  const { tenant, device, path, point } = name;
  const fields = Object.entries({ tenant, device, path, point }).map(
    ([field, text]) => `${field}=${quoted(text)}`,
  );
  return `myelin_series,device_key=${deviceKeyOf(name)},series_key=${keyOf(name)} ${fields.join(",")} 0\n`;
}

/** Measurement and tags; the readable ones are for people who look into the server, and are not asked for. */
export function headOf(name: SeriesName): string {
  const { tenant, device, path, point } = name;
  const tags = Object.entries({ device, path, point, tenant })
    .map(([tag, text]) => [tag, readable(text)])
    .filter(([, text]) => text !== "")
    .map(([tag, text]) => `,${tag}=${text}`);
  return `myelin_readings${tags.join("")},series_key=${keyOf(name)}`;
}

/** One row of a block. */
export function readingLine(head: string, columns: ReadingColumns, row: number): string {
  const { kind, quality, value, others, ref, timeUs } = columns;
  const code = codeOf(kind[row]!, value[row]!);
  const time = nanosOf(timeUs[row]!, placeOf(ref[row]!));
  // The server rounds what it tells of times to microseconds, those before 1970 up.
  const early = timeUs[row]! < 0 ? `,t=${timeUs[row]}i` : "";
  const other = isNumeric(kind[row]!) ? null : others[value[row]!]!;
  const size = other === null ? 0 : Buffer.byteLength(other);
  if (size > MAX_VALUE_BYTES) {
    const mark = markOf(KIND_CODES.none, BAD, true);
    return `${head} m=${mark}i,r=${ref[row]}i,y="too_large"${early} ${time}\n`;
  }
  const reason = columns.reasons.get(row);
  const mark = markOf(code, quality[row]!, reason !== undefined);
  const number = isNumeric(code) ? `,n=${value[row]}` : "";
  const text = other === null ? "" : `,z=${size}i,s=${quoted(textOf(other))}`;
  const why = reason === undefined ? "" : `,y=${quoted(reason)}`;
  return `${head} m=${mark}i,r=${ref[row]}i${number}${text}${why}${early} ${time}\n`;
}

function textOf(other: string | Uint8Array): string {
  return typeof other === "string" ? other : Buffer.from(other).toString("base64");
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function readable(text: string): string {
  return text
    .replace(/[^\p{L}\p{N}._:/+-]/gu, "_")
    .slice(0, MAX_TAG)
    .toWellFormed();
}
