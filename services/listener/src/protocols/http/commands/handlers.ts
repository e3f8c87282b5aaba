/** What answers the routes of commands to devices. */
import { Readable } from "node:stream";
import {
  type BulkOutcome,
  type CommandAuthor,
  type CommandState,
  type CommandWish,
  commandGroup,
  commandJson,
  type DeviceCommand,
  hasReached,
} from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { type Operator, operatorOf } from "../admin/operator.js";
import { listOf, numberOf, type Query, textOf } from "../admin/query.js";
import { EventStream } from "../event-stream.js";
import { type Submission, submissionOf, timeoutOf } from "./body.js";
import { DEFAULT_COMMANDS, LADDER, MAX_COMMANDS, STATES } from "./routes.js";
import { streamSteps } from "./steps.js";

const DEFAULT_TIMEOUT = "10s";

/** By the names of the routes. */
export function commandHandlers(ctx: ProtocolContext) {
  const { commands } = ctx;
  const handler =
    (answer: (asked: Asked) => Promise<FastifyReply>): RouteHandlerMethod =>
    async (request, reply) => {
      const operator = await operatorOf(ctx, request);
      return await answer(askedOf(operator, request, reply));
    };
  return {
    submitCommand: (async (request, reply) => {
      // Only the owner of the device knows whether it is a stop, which no rate holds up.
      const operator = await operatorOf(ctx, request, "tellRate");
      const asked = askedOf(operator, request, reply);
      const { group, device = "", rate, stopOnFailures, ...rest } = submissionOf(request);
      const wish = { ...rest, tenant: asked.tenant, author: asked.author, isOverRate: operator.isOverRate };
      if (group !== undefined) return await bulk(ctx, asked, { ...wish, rate, stopOnFailures, group });
      const { state, waitMs } = waitOf(asked.query);
      const now = await commands.submit({ ...wish, device }, state && { state, waitMs });
      const isDone = state !== undefined && hasReached(now, state);
      reply.header("location", `/api/v1/commands/${now.id}`);
      return show(reply.code(isDone ? 200 : 202), now);
    }) as RouteHandlerMethod,
    listCommands: handler(async ({ tenant, query, reply }) => {
      const limit = numberOf(query, "limit", 1, MAX_COMMANDS) ?? DEFAULT_COMMANDS;
      const device = textOf(query, "device");
      const states = listOf(query, "state").map((word) => stateOf(word, STATES));
      const after = placeOf(textOf(query, "cursor"));
      const page = await commands.list({ tenant, device, states, limit, after });
      const last = page.commands.at(-1);
      const next = page.more && last !== undefined ? { next: toCursor(last) } : {};
      const body = { commands: page.commands.map(commandJson), ...next };
      return reply.type("application/json").send(JSON.stringify(body));
    }),
    readCommand: handler(async ({ tenant, id, query, reply }) => {
      const found = await commands.get(tenant, id);
      const { state, waitMs } = waitOf(query);
      return show(reply, state === undefined ? found : await commands.reached(found, state, waitMs));
    }),
    cancelCommand: handler(async ({ tenant, id, author, reply }) =>
      show(reply, await commands.cancel(tenant, id, author)),
    ),
    followCommand: (async (request, reply) => {
      const { tenant, id } = askedOf(await operatorOf(ctx, request), request, reply);
      const found = await commands.get(tenant, id);
      const stream = EventStream.open(reply, ctx.clock);
      if (stream !== undefined) await streamSteps(ctx, found, stream);
    }) as RouteHandlerMethod,
  };
}

/** A request that was let in. */
interface Asked {
  readonly tenant: string;
  readonly author: CommandAuthor;
  readonly id: string;
  readonly query: Query;
  readonly reply: FastifyReply;
}

function askedOf({ tenant, identity }: Operator, request: FastifyRequest, reply: FastifyReply): Asked {
  const { commandId: id = "" } = request.params as { readonly commandId?: string };
  const author = { kind: "user", name: identity.user, roles: ["operator"] } as const;
  return { tenant: tenant?.name ?? "", author, id, query: request.query as Query, reply };
}

async function bulk(
  ctx: ProtocolContext,
  { query, reply }: Asked,
  wish: Omit<CommandWish, "device"> &
    Pick<Submission, "rate" | "stopOnFailures"> & { readonly group: string },
): Promise<FastifyReply> {
  const { state = "verified", waitMs } = waitOf(query);
  const outcomes = commandGroup(ctx.registry, ctx.commands, ctx.clock, { ...wish, wait: state, waitMs });
  // The first one is awaited, so that what is wrong with all of them is told as a problem.
  const first = await outcomes.next();
  if (first.done === true) throw new AppError("device.unknown", `no device is in the group ${wish.group}`);
  const lines = outcomeLines(first.value, outcomes);
  return reply.type("application/x-ndjson").send(Readable.from(lines, { objectMode: false }));
}

async function* outcomeLines(first: BulkOutcome, rest: AsyncGenerator<BulkOutcome>): AsyncGenerator<string> {
  yield lineOf(first);
  for await (const outcome of rest) yield lineOf(outcome);
}

function lineOf({ device, command, error, isFailed }: BulkOutcome): string {
  const told =
    error === undefined
      ? { id: command?.id, state: command?.state, cause: command?.steps.at(-1)?.cause || undefined }
      : { code: error.code, detail: error.message };
  return `${JSON.stringify({ device, failed: isFailed, ...told })}\n`;
}

function waitOf(query: Query): { readonly state: CommandState | undefined; readonly waitMs: number } {
  const word = textOf(query, "wait");
  const state = word === "" ? undefined : stateOf(word, LADDER);
  return { state, waitMs: timeoutOf(textOf(query, "timeout") || DEFAULT_TIMEOUT) };
}

function stateOf(word: string, known: readonly CommandState[]): CommandState {
  const found = known.find((one) => one === word.toLowerCase());
  if (found !== undefined) return found;
  throw new AppError("protocol.malformed", `${word} is none of ${known.join(", ")}`);
}

function toCursor({ id, createdAtUs }: Pick<DeviceCommand, "id" | "createdAtUs">): string {
  return Buffer.from(`${createdAtUs} ${id}`).toString("base64url");
}

function placeOf(cursor: string): Pick<DeviceCommand, "id" | "createdAtUs"> | undefined {
  if (cursor === "") return undefined;
  const [, us, id] = /^(\d{1,16}) (\S{1,64})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (us !== undefined && id !== undefined) return { id, createdAtUs: Number(us) };
  throw new AppError("protocol.malformed", "the cursor is none that a list has given");
}

function show(reply: FastifyReply, command: DeviceCommand): FastifyReply {
  return reply.type("application/json").send(JSON.stringify(commandJson(command)));
}
