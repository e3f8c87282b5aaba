/** Messages for devices over HTTP: fetched by long poll or server-sent events, sent with a POST. */

import { parseDurationMs } from "@myelin/config";
import { isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest } from "fastify";
import { deviceKey } from "../../core/disconnect-log.js";
import type { ProtocolContext } from "../../core/protocol.js";
import type { Downlink } from "../../core/session.js";
import type { HttpConfig } from "./config.js";
import { DeviceInbox, type InboxReader } from "./device-inbox.js";
import { connectionOf } from "./http-connection.js";
import { identify } from "./identify.js";

const MAX_WAIT_MS = 60_000;
const COMMENT_MS = 15_000;
const DEFAULT_COMMAND_TIMEOUT_MS = 10_000;
const MAX_STREAM_BUFFER_BYTES = 1024 * 1024;

/** The three routes, and the inboxes behind them. One per port. */
export class DeviceMessages {
  private readonly inboxes = new Map<string, DeviceInbox>();

  constructor(
    private readonly config: HttpConfig,
    private readonly ctx: ProtocolContext,
  ) {}

  /** `GET …/messages?wait=30s`: what waits, at once; else the first that comes within `wait`; else 204. */
  readonly poll = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const waitMs = waitOf((request.query as { wait?: unknown }).wait);
    const inbox = await this.inboxOf(request);
    const { clock } = this.ctx;
    const messages = await new Promise<readonly Downlink[]>((resolve) => {
      let done = false;
      const finish = (got: readonly Downlink[]): boolean => {
        if (done) return false;
        done = true;
        clock.clear(timer);
        request.raw.socket.off("close", onClose);
        inbox.leave(finish);
        resolve(got);
        return true;
      };
      const onClose = (): void => void finish([]);
      const timer = clock.setTimeout(() => finish([]), waitMs);
      request.raw.socket.once("close", onClose);
      inbox.read(finish);
    });
    if (messages.length === 0) return reply.code(204).send();
    return reply.type("application/json").send(`[${messages.map(toJson).join(",")}]`);
  };

  /** `GET …/stream`: server-sent events until either side ends it. */
  readonly stream = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const inbox = await this.inboxOf(request);
    const { clock } = this.ctx;
    reply.hijack();
    const out = reply.raw;
    out.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    // So that the client sees the stream open before the first message.
    out.write(": open\n\n");
    const reader: InboxReader = (messages) => {
      if (out.writableLength > MAX_STREAM_BUFFER_BYTES) return false;
      for (const message of messages) out.write(`event: message\ndata: ${toJson(message)}\n\n`);
      return true;
    };
    const timer = clock.setInterval(() => out.write(": alive\n\n"), COMMENT_MS);
    out.once("close", () => {
      clock.clear(timer);
      inbox.leave(reader);
    });
    inbox.read(reader);
  };

  /** `POST …/commands/{path}`: 202 when the device's connection took it, or with `wait=true` when the device did. */
  readonly command = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { deviceId, "*": path } = request.params as { deviceId: string; "*": string };
    const { wait, timeout } = request.query as { wait?: unknown; timeout?: unknown };
    const identity = await identify(this.ctx, request, deviceId);
    const full = `devices/${deviceId}/commands/${path}`;
    if (!isTopicName(full))
      throw new AppError("protocol.malformed", "the path is empty or holds +, # or NUL");
    if (!this.ctx.admission.publish(identity, full)) {
      throw new AppError("auth.not_authorized", `this client may not publish to ${full}`);
    }
    const { traceparent } = request.headers;
    const state = await this.ctx.downlinks.send({
      tenant: identity.tenant,
      deviceId,
      path: full,
      payload: Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0),
      contentType: request.headers["content-type"] ?? "",
      waitForDevice: wait === "true" || wait === "1",
      timeoutMs: timeout === undefined ? DEFAULT_COMMAND_TIMEOUT_MS : waitOf(timeout),
      traceparent: typeof traceparent === "string" ? traceparent : "",
    });
    return reply.code(202).type("application/json").send(JSON.stringify({ state }));
  };

  /** Ends every inbox; requests that wait are answered by their sockets' end. */
  stop(): void {
    for (const inbox of [...this.inboxes.values()]) inbox.end("drain");
  }

  private async inboxOf(request: FastifyRequest): Promise<DeviceInbox> {
    const { deviceId } = request.params as { deviceId: string };
    const identity = await identify(this.ctx, request, deviceId);
    // Whoever fetches a device's messages is the device, or may speak as it.
    if (!this.ctx.admission.subscribe(identity, `devices/${deviceId}/#`)) {
      throw new AppError("auth.not_authorized", `this client may not read the messages of ${deviceId}`);
    }
    const key = deviceKey(identity.tenant, identity.deviceId);
    const known = this.inboxes.get(key);
    if (known !== undefined) return known;
    const { number, address } = connectionOf(request.raw.socket);
    const inbox = new DeviceInbox(this.ctx, identity, number, address, this.config.maxWaitingMessages, () => {
      if (this.inboxes.get(key) === inbox) this.inboxes.delete(key);
    });
    this.inboxes.set(key, inbox);
    return inbox;
  }
}

/** Payloads that are JSON as they are, others in base64. */
function toJson({ path, contentType, payload }: Downlink): string {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const type = contentType.toLowerCase();
  if (type.startsWith("application/json")) {
    try {
      const value: unknown = JSON.parse(bytes.toString("utf8"));
      return JSON.stringify({ path, contentType, payload: value });
    } catch {
      // Named JSON by its sender and none: goes as bytes.
    }
  }
  return JSON.stringify({ path, contentType, payloadBase64: bytes.toString("base64") });
}

/** @throws AppError `protocol.malformed` */
function waitOf(value: unknown): number {
  if (value === undefined) return 0;
  const ms = typeof value === "string" ? (value === "0" ? 0 : parseDurationMs(value)) : undefined;
  if (ms === undefined || !(ms >= 0 && ms <= MAX_WAIT_MS)) {
    throw new AppError("protocol.malformed", "wait and timeout take a duration from 0 to 60s");
  }
  return ms;
}
