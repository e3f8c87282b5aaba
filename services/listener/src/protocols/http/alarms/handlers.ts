/** What answers the routes of alarms. */
import {
  ALARM_SEVERITIES,
  ALARM_STATES,
  type AlarmFilter,
  type AlarmRecord,
  alarmJson,
  watchAlarms,
} from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { operatorOf } from "../admin/operator.js";
import { listOf, numberOf, type Query, textOf } from "../admin/query.js";
import { EventStream } from "../event-stream.js";
import { DEFAULT_ALARMS, MAX_ALARMS, MAX_NOTE } from "./routes.js";

/** A request that was let in. */
interface Asked {
  readonly tenant: string;
  readonly who: string;
  readonly id: string;
  readonly query: Query;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** By the names of the routes. */
export function alarmHandlers(ctx: ProtocolContext) {
  const { alarms } = ctx;
  const handler =
    (answer: (asked: Asked) => Promise<FastifyReply>): RouteHandlerMethod =>
    async (request, reply) =>
      await answer(await askedOf(ctx, request, reply));
  const change = (state: "acknowledged" | "cleared") =>
    handler(async ({ tenant, id, who, request, reply }) =>
      send(reply, alarmJson(await alarms.change(tenant, id, state, { who, note: noteOf(request.body) }))),
    );
  return {
    listAlarms: handler(async ({ tenant, query, reply }) => {
      const page = await alarms.list({
        tenant,
        device: textOf(query, "device"),
        rule: textOf(query, "rule"),
        states: listOf(query, "state").map((word) => oneOf(ALARM_STATES, word)),
        leastSeverity: severityOf(textOf(query, "severity")),
        limit: numberOf(query, "limit", 1, MAX_ALARMS) ?? DEFAULT_ALARMS,
        after: placeOf(textOf(query, "cursor")),
      });
      const last = page.alarms.at(-1);
      const next = page.more && last !== undefined ? { next: toCursor(last) } : {};
      return send(reply, { alarms: page.alarms.map(alarmJson), ...next });
    }),
    readAlarm: handler(async ({ tenant, id, reply }) => send(reply, alarmJson(await alarms.get(tenant, id)))),
    acknowledgeAlarm: change("acknowledged"),
    clearAlarm: change("cleared"),
    followAlarms: (async (request, reply) => {
      const { tenant, query } = await askedOf(ctx, request, reply);
      const filter = {
        tenant,
        device: textOf(query, "device"),
        rule: textOf(query, "rule"),
        leastSeverity: severityOf(textOf(query, "severity")),
        limit: MAX_ALARMS,
      };
      const stream = EventStream.open(reply, ctx.clock);
      if (stream !== undefined) await follow(ctx, filter, stream);
    }) as RouteHandlerMethod,
  };
}

/** Writes an event `alarm` for each one that stands and for each change. Resolves when the client has gone. */
async function follow(
  { alarms: client, clock, log }: ProtocolContext,
  filter: AlarmFilter,
  stream: EventStream,
): Promise<void> {
  const { signal } = stream;
  try {
    for await (const alarm of watchAlarms({ client, filter, clock, signal })) {
      stream.write({ event: "alarm", data: JSON.stringify(alarmJson(alarm)) });
      await stream.drained();
    }
  } catch (thrown) {
    // The client asks again, and begins with those that stand.
    if (!signal.aborted) log.debug({ err: thrown }, "alarms cannot be told");
  }
  stream.end();
}

async function askedOf(ctx: ProtocolContext, request: FastifyRequest, reply: FastifyReply): Promise<Asked> {
  const { tenant, identity } = await operatorOf(ctx, request);
  const { alarmId: id = "" } = request.params as { readonly alarmId?: string };
  const query = request.query as Query;
  return { tenant: tenant?.name ?? "", who: identity.user, id, query, request, reply };
}

function noteOf(body: unknown): string | undefined {
  const text = Buffer.isBuffer(body) ? body.toString("utf8") : "";
  if (text === "") return undefined;
  const value = parsed(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw malformed("the body is no JSON object");
  for (const key of Object.keys(value))
    if (key !== "note") throw malformed(`${key.slice(0, 64)} is no field of this request; known is note`);
  const { note } = value as { readonly note?: unknown };
  if (note === undefined || (typeof note === "string" && note.length <= MAX_NOTE)) return note;
  throw malformed(`note takes a text of at most ${MAX_NOTE} characters`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new AppError("protocol.malformed", "the body is no JSON", { cause });
  }
}

function severityOf(word: string): (typeof ALARM_SEVERITIES)[number] | undefined {
  return word === "" ? undefined : oneOf(ALARM_SEVERITIES, word);
}

function oneOf<Word extends string>(words: readonly Word[], word: string): Word {
  const found = words.find((one) => one === word.toLowerCase());
  if (found !== undefined) return found;
  throw malformed(`${word.slice(0, 64)} is none of ${words.join(", ")}`);
}

function toCursor({ id, raisedAtMs }: AlarmRecord): string {
  return Buffer.from(`${raisedAtMs} ${id}`).toString("base64url");
}

function placeOf(cursor: string): Pick<AlarmRecord, "id" | "raisedAtMs"> | undefined {
  if (cursor === "") return undefined;
  const [, ms, id] =
    /^(\d{1,15}(?:\.\d{1,6})?) (\S{1,64})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (ms !== undefined && id !== undefined) return { id, raisedAtMs: Number(ms) };
  throw malformed("the cursor is none that a list has given");
}

function malformed(message: string): AppError {
  return new AppError("protocol.malformed", message);
}

function send(reply: FastifyReply, body: object): FastifyReply {
  return reply.type("application/json").send(JSON.stringify(body));
}
