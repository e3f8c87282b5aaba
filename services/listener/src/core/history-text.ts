/** Stored readings as lines of JSON and CSV, the same over HTTP and from the command line. */
import { history } from "@myelin/contract";

/** What can be shown of a stretch of time. */
export const AGGREGATE_FIELDS = ["count", "mean", "min", "max", "sum", "first", "last"] as const;
/** One of them. */
export type AggregateField = (typeof AGGREGATE_FIELDS)[number];

/** How rows are written. */
export type HistoryFormat = "ndjson" | "csv";

const QUALITY = {
  [history.Quality.GOOD]: "good",
  [history.Quality.UNCERTAIN]: "uncertain",
  [history.Quality.BAD]: "bad",
} as Readonly<Record<number, string>>;

/** A time in microseconds, all of them shown. */
export function isoOf(us: number): string {
  const ms = Math.floor(us / 1_000);
  const rest = String(us - ms * 1_000).padStart(3, "0");
  return new Date(ms).toISOString().replace("Z", `${rest}Z`);
}

/** How far a reading can be trusted, with the reason where one was given. */
export function qualityText({ quality, reason }: history.Reading): string {
  const word = QUALITY[quality] ?? "";
  return reason === "" ? word : `${word} (${reason})`;
}

/** A value on one line, bytes as Base64, nothing where there is none. */
export function valueText({ value }: history.Reading): string {
  switch (value?.$case) {
    case "number":
    case "boolean":
      return String(value.value);
    case "bytes":
      return Buffer.from(value.value).toString("base64");
    case "json":
      return oneLine(value.value);
    default:
      return value?.value ?? "";
  }
}

/**
 * The rows of answers, a chunk for each answer; CSV with a heading first.
 * @param fields what is shown of stretches of time
 */
export async function* historyText(
  answers: AsyncIterable<history.Answer>,
  device: string,
  format: HistoryFormat,
  fields: readonly AggregateField[] | undefined,
): AsyncGenerator<string, void> {
  if (format === "csv") yield csvLine(headOf(fields));
  for await (const { readings, aggregates } of answers) {
    const lines = [
      ...readings.map((reading) => (format === "csv" ? readingCsv : readingJson)(device, reading)),
      ...aggregates.map((aggregate) =>
        (format === "csv" ? aggregateCsv : aggregateJson)(device, aggregate, fields ?? AGGREGATE_FIELDS),
      ),
    ];
    if (lines.length > 0) yield lines.join("");
  }
}

/**
 * One reading as a JSON object on a line. Values that JSON has no number for stand as text, bytes as `valueBase64`, null where there is
 * none; `reason` is there where one was given.
 */
function readingJson(device: string, reading: history.Reading): string {
  const { path, point, timeUs, quality, value } = reading;
  const reason = reading.reason === "" ? undefined : reading.reason;
  const head = JSON.stringify({
    device,
    path,
    point,
    time: isoOf(timeUs),
    quality: QUALITY[quality],
    reason,
  });
  const name = value?.$case === "bytes" ? "valueBase64" : "value";
  return `${head.slice(0, -1)},"kind":"${value?.$case ?? "none"}","${name}":${valueJson(reading)}}\n`;
}

function valueJson(reading: history.Reading): string {
  const { value } = reading;
  if (value === undefined) return "null";
  if (value?.$case === "json") return oneLine(value.value);
  if (value?.$case === "boolean") return String(value.value);
  if (value?.$case === "number") return numberJson(value.value);
  return JSON.stringify(valueText(reading));
}

function numberJson(value: number): string {
  return JSON.stringify(Number.isFinite(value) ? value : String(value));
}

/** Line ends in JSON are white space: within its strings they are escaped. */
function oneLine(json: string): string {
  return json.replace(/[\r\n]+/g, " ");
}

function aggregateJson(
  device: string,
  aggregate: history.Aggregate,
  fields: readonly AggregateField[],
): string {
  const { path, point, startUs } = aggregate;
  const head = JSON.stringify({ device, path, point, start: isoOf(startUs) }).slice(0, -1);
  return `${head}${fields.map((field) => `,"${field}":${numberJson(aggregate[field])}`).join("")}}\n`;
}

function headOf(fields: readonly AggregateField[] | undefined): string[] {
  if (fields === undefined) return ["device", "path", "point", "time", "quality", "reason", "kind", "value"];
  return ["device", "path", "point", "start", ...fields];
}

function readingCsv(device: string, reading: history.Reading): string {
  const { path, point, timeUs, quality, reason, value } = reading;
  const head = [device, path, point, isoOf(timeUs), QUALITY[quality] ?? "", reason];
  return csvLine([...head, value?.$case ?? "none", valueText(reading)]);
}

function aggregateCsv(
  device: string,
  aggregate: history.Aggregate,
  fields: readonly AggregateField[],
): string {
  const { path, point, startUs } = aggregate;
  return csvLine([device, path, point, isoOf(startUs), ...fields.map((field) => String(aggregate[field]))]);
}

/** RFC 4180. */
function csvLine(cells: readonly string[]): string {
  const quoted = cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
  return `${quoted.join(",")}\r\n`;
}
