/** `POST /api/v1/devices/{id}/messages/{path}`: readings of a device. */
import type { IncomingMessage } from "node:http";
import { isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Identity } from "../../core/admission.js";
import type { LaneIndex } from "../../core/channel-table.js";
import { LineCutter } from "../../core/line-cutter.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { FORM_TYPE, isJsonType, JSON_TYPE } from "./body-type.js";
import { channelOf } from "./channel.js";
import type { HttpConfig } from "./config.js";
import { connectionOf, type HttpConnection } from "./http-connection.js";
import { identify } from "./identify.js";
import { PROBLEM_TYPE, problemOf } from "./problem.js";
import { Readings } from "./readings.js";
import { requestExtras } from "./request-extras.js";
import { RequestTicket } from "./ticket.js";

const ONE = JSON.stringify({ accepted: 1, rejected: 0 });

/** Makes the handler. @returns what fastify calls per request */
export function postMessages(config: HttpConfig, ctx: ProtocolContext) {
  return (request: FastifyRequest, reply: FastifyReply): FastifyReply | Promise<FastifyReply> => {
    const { deviceId, "*": path } = request.params as { deviceId: string; "*": string };
    const identity = identify(ctx, request, deviceId);
    const post = (who: Identity) => new Post(config, ctx, request, reply, path).run(who);
    return identity instanceof Promise ? identity.then(post) : post(identity);
  };
}

class Post {
  private readonly connection: HttpConnection;
  private readonly lane: LaneIndex;
  private readonly ticket: RequestTicket;

  constructor(
    private readonly config: HttpConfig,
    private readonly ctx: ProtocolContext,
    private readonly request: FastifyRequest,
    private readonly reply: FastifyReply,
    private readonly path: string,
  ) {
    this.connection = connectionOf(request.raw.socket);
    this.lane = laneOf((request.query as { lane?: unknown }).lane);
    this.ticket = new RequestTicket(config.maxLineErrors);
  }

  run(identity: Identity): FastifyReply | Promise<FastifyReply> {
    const { connection } = this;
    // Congestion and rate make the client wait for its turn, not the process remember its bodies.
    if (connection.scope.manager.mustHold(connection, 0) || connection.held !== 0) {
      return connection.free(this.config.storeTimeout).then(() => this.take(identity));
    }
    return this.take(identity);
  }

  private take(identity: Identity): FastifyReply | Promise<FastifyReply> {
    const { path, request, lane, ticket, ctx } = this;
    if (!isTopicName(path)) {
      throw new AppError("protocol.malformed", "the path is empty or holds +, # or NUL");
    }
    const { body } = request;
    const given = request.headers["content-type"] ?? "";
    const type = essence(given);
    const stream = body instanceof Object && !Buffer.isBuffer(body);
    const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
    const isJsonBody = stream || isJsonType(type) || isBareJson(type, bytes);
    const contentType = isJsonBody ? JSON_TYPE : given;
    const channel = channelOf(ctx, this.connection, { identity, lane, path, contentType });
    const headers = requestExtras(request.headers, ctx.clock);
    const readings = new Readings({ ingress: ctx.ingress, identity, channel, lane, headers, ticket });
    if (stream) return this.takeStream(body as IncomingMessage, readings);
    if (isJsonBody) readings.json(bytes);
    else readings.raw(bytes);
    this.ctx.metrics.traffic("http").receivedMessages += readings.taken;
    this.connection.spend(readings.taken);
    if (lane === 1) return this.stored();
    return this.taken();
  }

  /** Lines are taken as they come; the socket is not read while they cannot be. */
  private async takeStream(body: IncomingMessage, readings: Readings): Promise<FastifyReply> {
    const { connection, ticket } = this;
    const { manager } = connection.scope;
    const traffic = this.ctx.metrics.traffic("http");
    const cutter = new LineCutter(readings, this.config.maxBody);
    for await (const chunk of body as AsyncIterable<Buffer>) {
      const isHeld = manager.mustHold(connection, chunk.length);
      if (isHeld || connection.held !== 0) await this.untilFree(isHeld ? chunk.length : 0);
      const before = readings.taken;
      cutter.push(chunk);
      traffic.receivedBytes += chunk.length;
      traffic.receivedMessages += readings.taken - before;
      if (readings.taken > before) connection.spend(readings.taken - before);
    }
    cutter.end();
    if (this.lane === 1) return await this.stored();
    if (ticket.rejected > 0) return this.partly();
    return this.taken();
  }

  private async untilFree(heldBytes: number): Promise<void> {
    try {
      await this.connection.free(this.config.storeTimeout);
    } catch (thrown) {
      this.connection.scope.manager.letGo(this.connection, heldBytes);
      throw thrown;
    }
  }

  private async stored(): Promise<FastifyReply> {
    const { ticket } = this;
    await ticket.stored(this.ctx.clock, this.config.storeTimeout);
    if (ticket.rejected > 0) return this.partly();
    return this.taken();
  }

  /** Some are taken and some are not: 207. None is: the reason's own status. */
  private partly(): FastifyReply {
    const { ticket, reply } = this;
    const { accepted, rejected, errors } = ticket;
    const error =
      ticket.refusal ??
      new AppError("contract.bad_payload", `${rejected} of ${accepted + rejected} readings are refused`);
    const { status, body, headers } = problemOf(error, accepted > 0 ? 207 : undefined, {
      accepted,
      rejected,
      errors,
    });
    return reply.code(status).headers(headers).type(PROBLEM_TYPE).send(body);
  }

  /** All of it is. Written past fastify, which has nothing to add to the one answer that is frequent. */
  private taken(): FastifyReply {
    const { accepted, rejected } = this.ticket;
    const { raw } = this.reply.hijack();
    const body = accepted === 1 ? ONE : JSON.stringify({ accepted, rejected });
    raw.writeHead(202, { "content-type": JSON_TYPE, "content-length": body.length });
    raw.end(body);
    return this.reply;
  }
}

/** @throws AppError `protocol.malformed` */
function laneOf(lane: unknown): LaneIndex {
  if (lane === undefined || lane === "event") return 1;
  if (lane === "telemetry") return 0;
  throw new AppError("protocol.malformed", "lane takes event or telemetry");
}

function essence(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
}

/** `curl -d` names every body a form, and some clients name none: what begins like JSON is held to be JSON. */
function isBareJson(type: string, body: Buffer): boolean {
  return (type === FORM_TYPE || type === "") && (body[0] === 0x7b || body[0] === 0x5b);
}
