/** What answers the routes of flows and their runs. */
import { type FlowAuthor, type FlowRun, flowRunJson } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { operatorOf } from "../admin/operator.js";
import { listOf, numberOf, type Query, textOf } from "../admin/query.js";
import { EventStream } from "../event-stream.js";
import { streamRun } from "./progress.js";
import { DEFAULT_RUNS, MAX_RUNS, STATUSES } from "./routes.js";

const MAX_KEY_LENGTH = 256;

/** A request that was let in. */
interface Asked {
  readonly tenant: string;
  readonly author: FlowAuthor;
  readonly id: string;
  readonly flow: string;
  readonly query: Query;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** By the names of the routes. */
export function flowHandlers(ctx: ProtocolContext) {
  const { flows } = ctx;
  const handler =
    (answer: (asked: Asked) => Promise<FastifyReply>): RouteHandlerMethod =>
    async (request, reply) =>
      await answer(await askedOf(ctx, request, reply));
  return {
    listFlows: handler(async ({ tenant, reply }) => send(reply, { flows: await flows.flows(tenant) })),
    startFlow: handler(async ({ tenant, author, flow, request, reply }) => {
      const { input, priority } = bodyOf(request.body);
      const idempotencyKey = keyOf(request.headers["idempotency-key"]);
      const run = await flows.start({ tenant, flow, input, priority, idempotencyKey, author });
      reply.header("location", `/api/v1/flow-runs/${run.id}`);
      return send(reply.code(202), flowRunJson(run));
    }),
    listFlowRuns: handler(async ({ tenant, query, reply }) => {
      const limit = numberOf(query, "limit", 1, MAX_RUNS) ?? DEFAULT_RUNS;
      const statuses = listOf(query, "status").map(statusOf);
      const after = placeOf(textOf(query, "cursor"));
      const page = await flows.list({ tenant, flow: textOf(query, "flow"), statuses, limit, after });
      const last = page.runs.at(-1);
      const next = page.more && last !== undefined ? { next: toCursor(last) } : {};
      return send(reply, { runs: page.runs.map(flowRunJson), ...next });
    }),
    readFlowRun: handler(async ({ tenant, id, reply }) =>
      send(reply, flowRunJson(await flows.get(tenant, id))),
    ),
    cancelFlowRun: handler(async ({ tenant, id, author, reply }) =>
      send(reply, flowRunJson(await flows.cancel(tenant, id, author))),
    ),
    followFlowRun: (async (request, reply) => {
      const { tenant, id } = await askedOf(ctx, request, reply);
      const found = await flows.get(tenant, id);
      const stream = EventStream.open(reply, ctx.clock);
      if (stream !== undefined) await streamRun(ctx, found, stream);
    }) as RouteHandlerMethod,
  };
}

async function askedOf(ctx: ProtocolContext, request: FastifyRequest, reply: FastifyReply): Promise<Asked> {
  const { tenant, identity } = await operatorOf(ctx, request);
  const { runId: id = "", flow = "" } = request.params as { readonly runId?: string; readonly flow?: string };
  const author = { kind: "user", name: identity.user } as const;
  return { tenant: tenant?.name ?? "", author, id, flow, query: request.query as Query, request, reply };
}

function bodyOf(body: unknown): { readonly input: Record<string, unknown>; readonly priority?: number } {
  const text = Buffer.isBuffer(body) ? body.toString("utf8") : "";
  const value: unknown = text === "" ? {} : parsed(text);
  if (!isObject(value)) throw malformed("the body is no JSON object");
  for (const key of Object.keys(value))
    if (key !== "input" && key !== "priority")
      throw malformed(`${key.slice(0, 64)} is no field of a start; known are input, priority`);
  const { input = {}, priority } = value;
  if (!isObject(input)) throw malformed("input must be an object");
  if (priority === undefined) return { input };
  if (typeof priority === "number" && Number.isInteger(priority) && Math.abs(priority) <= 100)
    return { input, priority };
  throw malformed("priority must be a whole number from -100 to 100");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new AppError("protocol.malformed", "the body is no JSON", { cause });
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function keyOf(key: unknown): string | undefined {
  if (key === undefined) return undefined;
  if (typeof key === "string" && key !== "" && key.length <= MAX_KEY_LENGTH) return key;
  throw malformed(`Idempotency-Key takes 1 to ${MAX_KEY_LENGTH} characters`);
}

function statusOf(word: string): (typeof STATUSES)[number] {
  const found = STATUSES.find((one) => one === word.toLowerCase());
  if (found !== undefined) return found;
  throw malformed(`${word.slice(0, 64)} is none of ${STATUSES.join(", ")}`);
}

function toCursor({ id, createdAtUs }: FlowRun): string {
  return Buffer.from(`${createdAtUs} ${id}`).toString("base64url");
}

function placeOf(cursor: string): Pick<FlowRun, "id" | "createdAtUs"> | undefined {
  if (cursor === "") return undefined;
  const [, us, id] = /^(\d{1,16}) (\S{1,64})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (us !== undefined && id !== undefined) return { id, createdAtUs: Number(us) };
  throw malformed("the cursor is none that a list has given");
}

function malformed(message: string): AppError {
  return new AppError("protocol.malformed", message);
}

function send(reply: FastifyReply, body: object): FastifyReply {
  return reply.type("application/json").send(JSON.stringify(body));
}
