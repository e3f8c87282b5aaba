/** What answers the routes of shadows. */
import { type ShadowName, type ShadowView, shadowJson } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest, RouteHandlerMethod } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { operatorOf } from "../admin/operator.js";
import { isVersion, preconditionsOf } from "../registry/preconditions.js";
import { followShadow } from "./live.js";

const TRIES = 8;

/** A request that was let in. */
interface Asked {
  readonly which: ShadowName;
  readonly user: string;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

interface Body {
  readonly desired: unknown;
  readonly version: number | undefined;
}

/** By the names of the routes. */
export function shadowHandlers(ctx: ProtocolContext) {
  const { shadows, log } = ctx;
  const handler =
    (answer: (asked: Asked) => Promise<FastifyReply>): RouteHandlerMethod =>
    async (request, reply) => {
      const { tenant, identity } = await operatorOf(ctx, request);
      const { deviceId: device = "", shadow: name = "" } = request.params as Record<string, string>;
      const which = { tenant: tenant?.name ?? "", device, name };
      return await answer({ which, user: identity.user, request, reply });
    };
  const read = handler(async ({ which, request, reply }) => {
    if ((request.headers.accept ?? "").includes("text/event-stream"))
      return await followShadow(ctx, which, reply);
    const view = await shadows.get(which);
    const { match, noneMatch } = preconditionsOf(request.headers);
    if (match !== undefined && !isVersion(match, view)) throw changed(view);
    if (noneMatch !== undefined && isVersion(noneMatch, view))
      return reply.code(304).header("etag", etagOf(view)).send();
    return show(reply, view);
  });
  const write = (replace: boolean): RouteHandlerMethod =>
    handler(async (asked) => {
      const { which, request, reply, user } = asked;
      const { desired, version } = bodyOf(request, replace);
      const written = await conditionally(ctx, asked, version, true, (expected) =>
        shadows.update(which, { desired, replace, expected }),
      );
      log.info({ device: which.device, shadow: which.name, operator: user }, "an operator has set a shadow");
      return show(reply, written);
    });
  const remove = handler(async (asked) => {
    const { which, reply, user } = asked;
    await conditionally(ctx, asked, undefined, false, (expected) => shadows.delete(which, expected));
    log.info(
      { device: which.device, shadow: which.name, operator: user },
      "an operator has deleted a shadow",
    );
    return reply.code(204).send();
  });
  const put = write(true);
  const patch = write(false);
  return {
    readShadow: read,
    putShadow: put,
    patchShadow: patch,
    deleteShadow: remove,
    readNamedShadow: read,
    putNamedShadow: put,
    patchNamedShadow: patch,
    deleteNamedShadow: remove,
    listShadows: handler(async ({ which, reply }) => {
      const names = await shadows.list(which.tenant, which.device);
      return send(reply, { classic: names.includes(""), names: names.filter((name) => name !== "") });
    }),
  };
}

/** Makes a change under the conditions of its request; anew where they allow several versions and somebody was faster. */
async function conditionally(
  { shadows }: ProtocolContext,
  { which, request }: Asked,
  version: number | undefined,
  creates: boolean,
  work: (expected: number | undefined) => Promise<ShadowView>,
): Promise<ShadowView> {
  const { match, noneMatch } = preconditionsOf(request.headers);
  if (match === undefined && noneMatch === undefined) return await work(version);
  for (let attempt = 1; ; attempt++) {
    const known = await shadows.get(which).catch(onlyUnknown);
    if (known === undefined) {
      if (!creates) throw new AppError("shadow.unknown", `there is no such shadow of ${which.device}`);
      if (match !== undefined) throw preconditionFailed(`there is no such shadow of ${which.device}`);
    } else if (
      (match !== undefined && !isVersion(match, known)) ||
      (noneMatch !== undefined && isVersion(noneMatch, known))
    )
      throw changed(known);
    const expected = known?.version ?? 0;
    if (version !== undefined && version !== expected)
      throw new AppError("shadow.version_conflict", `the shadow has version ${expected}, not ${version}`);
    try {
      return await work(expected);
    } catch (thrown) {
      const isOvertaken = AppError.is(thrown) && thrown.code === "shadow.version_conflict";
      if (!isOvertaken || attempt === TRIES) throw thrown;
    }
  }
}

function onlyUnknown(thrown: unknown): undefined {
  if (AppError.is(thrown) && thrown.code === "shadow.unknown") return undefined;
  throw thrown;
}

function etagOf({ version }: ShadowView): string {
  return `"${version}"`;
}

/** A condition of the request does not hold. */
function preconditionFailed(message: string): AppError {
  return Object.assign(new AppError("shadow.version_conflict", message), { statusCode: 412 });
}

function changed({ version }: ShadowView): AppError {
  return preconditionFailed(`the shadow has version ${version}`);
}

/** @throws AppError `protocol.unsupported`, `protocol.malformed`, `shadow.invalid` */
function bodyOf(request: FastifyRequest, replace: boolean): Body {
  const types = replace ? ["application/json"] : ["application/merge-patch+json", "application/json"];
  const type = (request.headers["content-type"] ?? "").split(";", 1)[0]!.trim().toLowerCase();
  if (!types.includes(type)) {
    const error = new AppError("protocol.unsupported", `a shadow comes as ${types.join(" or ")}`);
    throw Object.assign(error, { statusCode: 415 });
  }
  const { body } = request;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.isBuffer(body) ? body.toString() : "");
  } catch (cause) {
    throw new AppError("protocol.malformed", "the body is no JSON", { cause });
  }
  const { state, version } = only(value, "the body", ["state", "version"]);
  if (state === undefined) throw invalid("state", "is missing");
  const { desired } = only(state, "state", ["desired"]);
  if (desired === undefined) throw invalid("state.desired", "is missing");
  if (version !== undefined && (!Number.isSafeInteger(version) || Number(version) < 0))
    throw invalid("version", "must be a whole number from 0");
  return { desired, version: version as number | undefined };
}

function only(value: unknown, where: string, known: readonly string[]): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(where, "must be an object");
  for (const key of Object.keys(value)) {
    if (key === "reported") throw invalid("state.reported", "holds only what the device itself has measured");
    if (!known.includes(key)) throw invalid(where === "state" ? `state.${key}` : key, "cannot be written");
  }
  return value as Readonly<Record<string, unknown>>;
}

function invalid(path: string, rule: string): AppError {
  return new AppError("shadow.invalid", `${path} ${rule}`, { details: { path, rule } });
}

function show(reply: FastifyReply, view: ShadowView): FastifyReply {
  return send(reply.header("etag", etagOf(view)), shadowJson(view));
}

function send(reply: FastifyReply, value: object): FastifyReply {
  return reply.type("application/json").send(JSON.stringify(value));
}
