/** What answers the routes of stored readings: one page of JSON, or all of it as a stream of lines. */
import { Readable } from "node:stream";
import { parseDurationMs } from "@myelin/config";
import type { history } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import type { HistoryWish } from "../../../core/history-client.js";
import {
  AGGREGATE_FIELDS,
  type AggregateField,
  type HistoryFormat,
  historyText,
} from "../../../core/history-text.js";
import { parseTimeUs } from "../../../core/history-time.js";
import type { ProtocolContext } from "../../../core/protocol.js";
import { operatorOf } from "../admin/operator.js";
import { numberOf, type Query, textOf } from "../admin/query.js";
import { rowsOf } from "./routes.js";

const MAX_LIMIT = 999_999_999;
const TYPES = { ndjson: "application/x-ndjson", csv: "text/csv; charset=utf-8" } as const;

/** Asks for one kind of rows. */
interface Asking {
  readonly name: "readings" | "aggregates";
  readonly question: HistoryWish["question"];
  /** Of aggregates. */
  readonly fields?: readonly AggregateField[];
}

/** By the names of the routes. */
export function historyHandlers(ctx: ProtocolContext) {
  const handler =
    (ask: (query: Query) => Asking): RouteHandlerMethod =>
    async (request: FastifyRequest, reply: FastifyReply) => {
      const { tenant } = await operatorOf(ctx, request);
      const query = request.query as Query;
      const { device = "" } = request.params as { readonly device?: string };
      const { name, question, fields } = ask(query);
      const wish = {
        ...seriesOf(query),
        ...periodOf(query, ctx),
        tenant: tenant?.name ?? "",
        device,
        question,
      };
      const limit = numberOf(query, "limit", 1, MAX_LIMIT);
      const cursor = textOf(query, "cursor");
      const format = formatOf(query, request.headers.accept);
      if (format === "json") {
        const page = await ctx.history.page(wish, rowsOf(limit), cursor);
        return reply.type("application/json").send(await pageJson(page, device, name, fields));
      }
      // The first page is awaited, so that what is wrong with the query is told as a problem.
      const pages = ctx.history.pages(wish, limit, cursor);
      const first = await pages.next();
      const lines = historyText(from(first, pages), device, format, fields);
      return reply.type(TYPES[format]).send(Readable.from(lines, { objectMode: false }));
    };
  return {
    readHistory: handler((query) => {
      const order = wordOf(query, "order", ["newest", "oldest"]) ?? "newest";
      return { name: "readings", question: { $case: "range", value: { newestFirst: order === "newest" } } };
    }),
    aggregateHistory: handler((query) => ({
      name: "aggregates",
      question: { $case: "aggregates", value: { everyUs: everyOf(query) } },
      fields: fieldsOf(query),
    })),
    latestHistory: handler(() => ({ name: "readings", question: { $case: "latest", value: {} } })),
  };
}

async function* from(
  first: IteratorResult<history.Answer, void>,
  rest: AsyncGenerator<history.Answer, void>,
): AsyncGenerator<history.Answer, void> {
  if (first.done === true) return;
  yield first.value;
  yield* rest;
}

/** Made of the same lines as NDJSON. */
async function pageJson(
  page: history.Answer,
  device: string,
  name: string,
  fields: readonly AggregateField[] | undefined,
): Promise<string> {
  async function* only(): AsyncGenerator<history.Answer, void> {
    yield page;
  }
  let lines = "";
  for await (const chunk of historyText(only(), device, "ndjson", fields)) lines += chunk;
  const next = page.cursor === "" ? "" : `,"next":${JSON.stringify(page.cursor)}`;
  return `{"${name}":[${lines.trimEnd().replaceAll("\n", ",")}]${next}}`;
}

function seriesOf(query: Query): Pick<HistoryWish, "sink" | "path" | "point"> {
  const given = (name: string): string | undefined =>
    query[name] === undefined ? undefined : textOf(query, name);
  return { sink: given("sink"), path: given("path"), point: given("point") };
}

function periodOf(query: Query, { clock }: ProtocolContext): Pick<HistoryWish, "fromUs" | "toUs"> {
  const timeOf = (name: string, otherwise: number): number => {
    const text = textOf(query, name);
    if (text === "") return otherwise;
    const us = parseTimeUs(text, clock.wallUs());
    if (us !== undefined) return us;
    const rule = "a time such as 2030-01-31T12:00:00Z, or a duration before now such as 1h";
    throw new AppError("protocol.malformed", `${name} is ${rule}`);
  };
  return { fromUs: timeOf("from", 0), toUs: timeOf("to", Number.MAX_SAFE_INTEGER) };
}

function everyOf(query: Query): number {
  const text = textOf(query, "every");
  if (text === "") return 0;
  try {
    const us = parseDurationMs(text) * 1_000;
    if (us >= 1 && Number.isSafeInteger(us)) return us;
  } catch {
    // Told below, like a length of nothing.
  }
  throw new AppError("protocol.malformed", "every is a length of time such as 5m");
}

function fieldsOf(query: Query): readonly AggregateField[] {
  const text = textOf(query, "fields");
  if (text === "") return AGGREGATE_FIELDS;
  const wanted = text.split(",");
  const fields = AGGREGATE_FIELDS.filter((field) => wanted.includes(field));
  if (fields.length === new Set(wanted).size) return fields;
  throw new AppError("protocol.malformed", `fields are some of ${AGGREGATE_FIELDS.join(", ")}`);
}

function formatOf(query: Query, accept = ""): HistoryFormat | "json" {
  const asked = wordOf(query, "format", ["json", "ndjson", "csv"]);
  if (asked !== undefined) return asked;
  if (/\btext\/csv\b/.test(accept)) return "csv";
  return /\bapplication\/(x-)?ndjson\b/.test(accept) ? "ndjson" : "json";
}

function wordOf<W extends string>(query: Query, name: string, words: readonly W[]): W | undefined {
  const text = textOf(query, name);
  if (text === "") return undefined;
  const word = words.find((one) => one === text);
  if (word !== undefined) return word;
  throw new AppError("protocol.malformed", `${name} is one of ${words.join(", ")}`);
}
