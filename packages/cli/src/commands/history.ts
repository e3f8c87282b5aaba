/** `myelin history`: what a sink has stored of a device. */
import { once } from "node:events";
import { parseDurationMs } from "@myelin/config";
import type { history } from "@myelin/contract";
import { AppError, systemClock } from "@myelin/kernel";
import {
  AGGREGATE_FIELDS,
  type AggregateField,
  HistoryClient,
  type HistoryWish,
  historyText,
  isoOf,
  parseTimeUs,
  qualityText,
  valueText,
} from "@myelin/listener/history";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, endWithReader, note } from "../output.js";
import { withBus } from "./client.js";
import { table } from "./operator-lists.js";

export interface HistoryOptions extends ReachOptions {
  readonly json: boolean;
  readonly csv: boolean;
  readonly sink?: string;
  readonly tenant: string;
  readonly point?: string;
  readonly from?: string;
  readonly to?: string;
  readonly order: "newest" | "oldest";
  readonly latest: boolean;
  readonly every?: string;
  readonly agg?: string;
  readonly limit?: number;
}

const TABLE_ROWS = 100;
const USUAL_FIELDS = ["count", "mean", "min", "max"] as const;
/** Longest value in a table. */
const SHOWN_CHARACTERS = 100;

/** @throws AppError `config.invalid`, `history.*`, `store.*`, `request.*`, `bus.*` */
export async function showHistory(
  device: string,
  path: string | undefined,
  options: HistoryOptions,
): Promise<number> {
  const { json, csv, limit } = options;
  const fields = fieldsOf(options);
  const wish = wishOf(device, path, options, fields);
  return withBus(options, async (bus) => {
    const client = new HistoryClient(bus);
    if (json || csv) {
      endWithReader();
      const lines = historyText(client.pages(wish, limit), device, csv ? "csv" : "ndjson", fields);
      for await (const chunk of lines) {
        if (!process.stdout.write(chunk)) await once(process.stdout, "drain");
      }
    } else await showTable(client, wish, limit ?? TABLE_ROWS, fields);
    return EXIT.ok;
  });
}

/** What the options ask for. @throws AppError `config.invalid` */
export function wishOf(
  device: string,
  path: string | undefined,
  options: HistoryOptions,
  fields: readonly AggregateField[] | undefined,
): HistoryWish {
  const { sink, tenant, point, latest, order } = options;
  const nowUs = systemClock.wallUs();
  const timeOf = (name: "from" | "to", otherwise: number): number => {
    const text = options[name];
    const us = text === undefined ? otherwise : parseTimeUs(text, nowUs);
    if (us !== undefined) return us;
    const rule = "takes a time such as 2030-01-31T12:00:00Z or a duration before now such as 1h";
    throw new AppError("config.invalid", `--${name} ${rule}, not "${text}".`);
  };
  const question = latest
    ? ({ $case: "latest", value: {} } as const)
    : fields === undefined
      ? ({ $case: "range", value: { newestFirst: order === "newest" } } as const)
      : ({ $case: "aggregates", value: { everyUs: everyOf(options) } } as const);
  const fromUs = timeOf("from", 0);
  return { sink, tenant, device, path, point, fromUs, toUs: timeOf("to", Number.MAX_SAFE_INTEGER), question };
}

function everyOf({ every }: HistoryOptions): number {
  if (every === undefined) return 0;
  try {
    const us = parseDurationMs(every) * 1_000;
    if (us >= 1 && Number.isSafeInteger(us)) return us;
  } catch {
    // Told below, like a length of nothing.
  }
  throw new AppError("config.invalid", `--every takes a length of time such as 5m, not "${every}".`);
}

/** Undefined: readings are asked for, not sums of them. @throws AppError `config.invalid` */
export function fieldsOf({ every, agg }: HistoryOptions): readonly AggregateField[] | undefined {
  if (agg === undefined) return every === undefined ? undefined : USUAL_FIELDS;
  const wanted = agg.split(",");
  const fields = AGGREGATE_FIELDS.filter((field) => wanted.includes(field));
  if (fields.length === new Set(wanted).size) return fields;
  throw new AppError(
    "config.invalid",
    `--agg takes some of ${AGGREGATE_FIELDS.join(", ")}, with commas between, not "${agg}".`,
  );
}

async function showTable(
  client: HistoryClient,
  wish: HistoryWish,
  limit: number,
  fields: readonly AggregateField[] | undefined,
): Promise<void> {
  const readings: history.Reading[] = [];
  const aggregates: history.Aggregate[] = [];
  let isMore = false;
  for await (const page of client.pages(wish, limit)) {
    readings.push(...page.readings);
    aggregates.push(...page.aggregates);
    isMore = page.cursor !== "";
  }
  const nothing = "Nothing is stored of what was asked for.";
  if (fields === undefined) {
    const rows = readings.map((reading) => [
      isoOf(reading.timeUs),
      reading.path,
      reading.point,
      shown(reading),
      qualityText(reading),
    ]);
    table(["time", "path", "point", "value", "quality"], rows, nothing);
  } else {
    const rows = aggregates.map((aggregate) => [
      isoOf(aggregate.startUs),
      aggregate.path,
      aggregate.point,
      ...fields.map((field) => aggregate[field]),
    ]);
    table(["from", "path", "point", ...fields], rows, nothing);
  }
  if (isMore) note("There are more: name a shorter time, or a higher --limit.");
}

function shown(reading: history.Reading): string {
  const text = valueText(reading);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
