/** What answers the routes of the registry of devices. */
import { Readable } from "node:stream";
import {
  type DeviceChange,
  type DeviceOutcome,
  type DeviceRecord,
  deviceFields,
  deviceJson,
} from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { deviceText } from "../../../device-lines/write.js";
import { operatorOf } from "../admin/operator.js";
import { numberOf, type Query } from "../admin/query.js";
import { importStream } from "./import-stream.js";
import { etagOf, isShown, isVersion, preconditionFailed, preconditionsOf } from "./preconditions.js";
import { formatOf, toCursor, wishOf } from "./query.js";
import { DEFAULT_DEVICES, MAX_DEVICES } from "./routes.js";

/** Of an export: a page of each partition's owner. */
const EXPORTED_AT_ONCE = 500;
const MAX_KEY_LENGTH = 255;
const TRIES = 8;
const TYPES = { ndjson: "application/x-ndjson", csv: "text/csv; charset=utf-8" } as const;

/** A request that was let in. */
interface Asked {
  readonly tenant: string;
  readonly user: string;
  readonly id: string;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** By the names of the routes. */
export function registryHandlers(ctx: ProtocolContext) {
  const { registry, log } = ctx;
  const handler =
    (answer: (asked: Asked) => Promise<FastifyReply>): RouteHandlerMethod =>
    async (request, reply) => {
      const { tenant, identity } = await operatorOf(ctx, request);
      const { deviceId: id = "" } = request.params as { readonly deviceId?: string };
      return await answer({ tenant: tenant?.name ?? "", user: identity.user, id, request, reply });
    };
  const write = async ({ user }: Asked, change: DeviceChange, what: string): Promise<DeviceOutcome> => {
    const outcome = await registry.apply(change);
    log.info({ device: change.device.id, operator: user }, what);
    return outcome;
  };
  return {
    listDevices: handler(async ({ tenant, request, reply }) => {
      const query = request.query as Query;
      const wish = wishOf(query, tenant);
      const limit = numberOf(query, "limit", 1, MAX_DEVICES) ?? DEFAULT_DEVICES;
      const format = formatOf(query, request.headers.accept);
      if (format === "json") {
        const { devices, more } = await registry.list({ ...wish, limit });
        const last = devices.at(-1);
        const next = more && last !== undefined ? { next: toCursor(last.id) } : {};
        return send(reply, { devices: devices.map(deviceJson), ...next });
      }
      // The first page is awaited, so that what is wrong with the query is told as a problem.
      const pages = registry.pages(wish, EXPORTED_AT_ONCE);
      const first = await pages.next();
      const lines = deviceText(from(first, pages), format);
      return reply.type(TYPES[format]).send(Readable.from(lines, { objectMode: false }));
    }),
    createDevice: handler(async (asked) => {
      const { request, reply, tenant } = asked;
      const type = essence(request);
      if (type === "text/csv" || /ndjson|jsonl/.test(type)) return await importStream(ctx, asked, type);
      const value = bodyOf(request, ["application/json"]);
      const { id } = (value ?? {}) as { readonly id?: unknown };
      if (typeof id !== "string")
        throw new AppError("device.invalid", "id must be text", { details: { path: "id" } });
      const device = deviceFields(tenant, id, value);
      const change = { device, expected: 0, idempotencyKey: keyOf(request) };
      const { device: made } = await write(asked, change, "an operator has created a device");
      reply.header("location", `/api/v1/devices/${encodeURIComponent(id)}`);
      return show(reply.code(201), made!);
    }),
    readDevice: handler(async ({ tenant, id, request, reply }) => {
      const device = await registry.get(tenant, id);
      const { match, noneMatch } = preconditionsOf(request.headers);
      if (match !== undefined && !isVersion(match, device)) throw changed(device);
      if (noneMatch !== undefined && isShown(noneMatch, device))
        return reply.code(304).header("etag", etagOf(device)).send();
      return show(reply, device);
    }),
    putDevice: handler(async (asked) => {
      const { tenant, id, request, reply } = asked;
      const device = deviceFields(tenant, id, bodyOf(request, ["application/json"]));
      expectSameId(id, request);
      const put = (expected: number | undefined): Promise<DeviceOutcome> =>
        write(asked, { device, expected }, "an operator has set a device");
      const { device: written, created } = await conditionally(ctx, asked, true, put);
      return show(reply.code(created === true ? 201 : 200), written!);
    }),
    patchDevice: handler(async (asked) => {
      const { tenant, id, request, reply } = asked;
      const patch = bodyOf(request, ["application/merge-patch+json", "application/json"]);
      const { device } = await conditionally(ctx, asked, false, async (expected) => {
        const patched = await registry.patch(tenant, id, patch, expected);
        log.info({ device: id, operator: asked.user }, "an operator has changed a device");
        return { device: patched };
      });
      return show(reply, device!);
    }),
    deleteDevice: handler(async (asked) => {
      const { tenant, id, reply } = asked;
      await conditionally(ctx, asked, false, (expected) =>
        write(asked, { device: { tenant, id }, remove: true, expected }, "an operator has deleted a device"),
      );
      return reply.code(204).send();
    }),
  };
}

async function* from<T>(
  first: IteratorResult<T, void>,
  rest: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  if (first.done === true) return;
  yield first.value;
  yield* rest;
}

/**
 * Makes a change under the conditions of its request: with the version that they allow, and anew where they allow several and
 * somebody was faster.
 * @param creates the change makes a device that is not there
 */
async function conditionally(
  { registry }: ProtocolContext,
  { tenant, id, request }: Asked,
  creates: boolean,
  work: (expected: number | undefined) => Promise<DeviceOutcome>,
): Promise<DeviceOutcome> {
  const { match, noneMatch } = preconditionsOf(request.headers);
  if (match === undefined && noneMatch === undefined) return await work(undefined);
  for (let attempt = 1; ; attempt++) {
    const known = await registry.get(tenant, id).catch(onlyUnknown);
    if (known === undefined) {
      if (!creates) throw new AppError("device.unknown", `there is no device ${id}`);
      if (match !== undefined) throw preconditionFailed(`there is no device ${id}`);
    } else {
      if (match !== undefined && !isVersion(match, known)) throw changed(known);
      if (noneMatch !== undefined && isVersion(noneMatch, known)) throw changed(known);
    }
    try {
      return await work(known?.version ?? 0);
    } catch (thrown) {
      const code = AppError.is(thrown) ? thrown.code : "";
      const isOvertaken = code === "device.version_conflict" || code === "device.exists";
      if (!isOvertaken || attempt === TRIES) throw thrown;
    }
  }
}

function onlyUnknown(thrown: unknown): undefined {
  if (AppError.is(thrown) && thrown.code === "device.unknown") return undefined;
  throw thrown;
}

function changed({ id, version }: DeviceRecord): AppError {
  return preconditionFailed(`the device ${id} has version ${version}`);
}

/** @throws AppError `protocol.unsupported`, `protocol.malformed` */
function bodyOf(request: FastifyRequest, types: readonly string[]): unknown {
  const type = essence(request);
  if (!types.includes(type)) {
    const error = new AppError("protocol.unsupported", `a device comes as ${types.join(" or ")}`);
    throw Object.assign(error, { statusCode: 415 });
  }
  const { body } = request;
  try {
    return JSON.parse(Buffer.isBuffer(body) ? body.toString() : "");
  } catch (cause) {
    throw new AppError("protocol.malformed", "the body is no JSON", { cause });
  }
}

function expectSameId(id: string, { body }: FastifyRequest): void {
  const said = (JSON.parse(String(body)) as { readonly id?: unknown }).id ?? id;
  if (said !== id)
    throw new AppError("device.invalid", "the id is not that of the path", { details: { path: "id" } });
}

function essence({ headers }: FastifyRequest): string {
  return (headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase();
}

/** @throws AppError `protocol.malformed` */
function keyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers["idempotency-key"];
  if (key === undefined) return undefined;
  if (typeof key === "string" && key !== "" && key.length <= MAX_KEY_LENGTH) return key;
  throw new AppError("protocol.malformed", `Idempotency-Key takes 1 to ${MAX_KEY_LENGTH} characters`);
}

function show(reply: FastifyReply, device: DeviceRecord): FastifyReply {
  return send(reply.header("etag", etagOf(device)), deviceJson(device));
}

function send(reply: FastifyReply, value: object): FastifyReply {
  return reply.type("application/json").send(JSON.stringify(value));
}
