/** Messages for devices over HTTP: fetched by long poll or server-sent events, sent with a POST. */

import { parseDurationMs } from "@myelin/config";
import { isTopicName, Protocol } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Identity } from "../../core/admission.js";
import { type Connection, HOLD } from "../../core/connection.js";
import { deviceKey } from "../../core/disconnect-log.js";
import type { ProtocolContext } from "../../core/protocol.js";
import type { Downlink } from "../../core/session.js";
import type { HttpConfig } from "./config.js";
import { connected, DeviceInbox, type InboxReader } from "./device-inbox.js";
import { EventStream } from "./event-stream.js";
import { connectionOf } from "./http-connection.js";
import { identify } from "./identify.js";

const MAX_WAIT_MS = 60_000;
const DEFAULT_COMMAND_TIMEOUT_MS = 10_000;
const MAX_STREAM_BUFFER_BYTES = 1024 * 1024;

/** The three routes, and the inboxes behind them. One per port. */
export class DeviceMessages {
  private readonly inboxes = new Map<string, DeviceInbox>();
  /** Those that are being opened. */
  private readonly opening = new Map<string, Promise<DeviceInbox>>();
  /** How many devices each client fetches for. */
  private readonly perClient = new Map<string, number>();
  private unfollow: (() => void) | undefined;
  private stopped = false;

  constructor(
    private readonly config: HttpConfig,
    private readonly ctx: ProtocolContext,
  ) {}

  /** `GET …/messages?wait=30s`: what waits, at once; else the first that comes within `wait`; else 204. */
  readonly poll = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const waitMs = waitOf((request.query as { wait?: unknown }).wait);
    const inbox = await this.inboxOf(request);
    const { clock } = this.ctx;
    const { socket } = request.raw;
    const messages = await new Promise<readonly Downlink[]>((resolve, reject) => {
      let done = false;
      const finish = (): boolean => {
        if (done) return false;
        done = true;
        clock.clear(timer);
        socket.off("close", onClose);
        inbox.leave(reader);
        return true;
      };
      const reader: InboxReader = {
        stays: false,
        take(got) {
          if (!finish()) return false;
          resolve(got);
          return true;
        },
        end(error) {
          if (!finish()) return;
          if (error === undefined) resolve([]);
          else reject(error);
        },
      };
      const onClose = (): void => reader.end();
      const timer = clock.setTimeout(() => reader.end(), waitMs);
      socket.once("close", onClose);
      try {
        inbox.read(reader);
      } catch (thrown) {
        reader.end(AppError.from(thrown));
      }
      if (socket.destroyed) reader.end();
    });
    if (messages.length === 0) return reply.code(204).send();
    return reply.type("application/json").send(`[${messages.map(toJson).join(",")}]`);
  };

  /** `GET …/stream`: server-sent events until either side ends it. */
  readonly stream = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const inbox = await this.inboxOf(request);
    const stream = EventStream.open(reply, this.ctx.clock);
    if (stream === undefined) return;
    const reader: InboxReader = {
      stays: true,
      take(messages) {
        if (stream.waitingBytes > MAX_STREAM_BUFFER_BYTES) return false;
        for (const message of messages) stream.write({ event: "message", data: toJson(message) });
        return true;
      },
      end: () => stream.end(),
    };
    stream.signal.addEventListener("abort", () => inbox.leave(reader), { once: true });
    inbox.read(reader);
  };

  /** `POST …/commands/{path}`: 202 when the device's connection took it, or with `wait=true` when the device did. */
  readonly command = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { deviceId, "*": path } = request.params as { deviceId: string; "*": string };
    const { wait, timeout } = request.query as { wait?: unknown; timeout?: unknown };
    countRequest(request);
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

  /** Ends every inbox and with it the requests that wait. */
  stop(): void {
    this.stopped = true;
    this.unfollow?.();
    this.unfollow = undefined;
    for (const inbox of [...this.inboxes.values()]) inbox.end("drain");
  }

  private async inboxOf(request: FastifyRequest): Promise<DeviceInbox> {
    countRequest(request);
    const { deviceId } = request.params as { deviceId: string };
    const identity = await identify(this.ctx, request, deviceId);
    if (!this.mayFetch(identity)) throw notAllowed(identity);
    const key = deviceKey(identity.tenant, identity.deviceId);
    const known = this.inboxes.get(key) ?? this.opening.get(key);
    if (known !== undefined) return known;
    const opening = this.open(key, identity, connectionOf(request.raw.socket)).finally(() =>
      this.opening.delete(key),
    );
    this.opening.set(key, opening);
    return opening;
  }

  /** @throws AppError `device.connected`, `limit.*`, `queue.closed` */
  private async open(key: string, identity: Identity, { number, address }: Connection): Promise<DeviceInbox> {
    const { ctx, config } = this;
    const client = identity.local === true || identity.user === "" ? address : clientOf(identity);
    if (this.inboxes.size + this.opening.size >= config.maxFetchingDevices) {
      throw new AppError("limit.connections", "too many devices fetch their messages here");
    }
    if ((this.perClient.get(client) ?? 0) >= config.maxFetchingDevicesPerClient) {
      throw new AppError("limit.rate", "this client fetches the messages of too many devices");
    }
    this.perClient.set(client, (this.perClient.get(client) ?? 0) + 1);
    const release = (): void => {
      const left = this.perClient.get(client)! - 1;
      if (left > 0) this.perClient.set(client, left);
      else this.perClient.delete(client);
    };
    try {
      this.checkFree(identity);
      const claimant = { identity, number, address, protocol: Protocol.HTTP };
      if (await ctx.sessions.isHeldElsewhere(claimant))
        throw connected(identity.deviceId, "another listener");
      // Much may have changed meanwhile.
      this.checkFree(identity);
      if (this.stopped) throw new AppError("queue.closed", "this listener is stopping");
      if (!this.mayFetch(identity)) throw notAllowed(identity);
      this.unfollow ??= ctx.admission.onChange((isRevoked) => this.recheck(isRevoked));
      const inbox = new DeviceInbox(ctx, identity, number, address, config.maxWaitingMessages, () => {
        if (this.inboxes.get(key) === inbox) this.inboxes.delete(key);
        release();
      });
      this.inboxes.set(key, inbox);
      return inbox;
    } catch (thrown) {
      release();
      throw thrown;
    }
  }

  /** A device that is connected gets its messages there: fetching them as well would take them from it. */
  private checkFree({ tenant, deviceId }: Identity): void {
    const session = this.ctx.sessions.get(tenant, deviceId);
    if (session !== undefined && session.protocol !== Protocol.HTTP) {
      throw connected(deviceId, "another protocol");
    }
  }

  /** Whoever fetches a device's messages is the device, or may speak as it. */
  private mayFetch(identity: Identity): boolean {
    return this.ctx.admission.subscribe(identity, `devices/${identity.deviceId}/#`);
  }

  private recheck(isRevoked: (identity: Identity) => boolean): void {
    for (const inbox of [...this.inboxes.values()]) {
      const { identity } = inbox;
      if (isRevoked(identity) || !this.mayFetch(identity)) inbox.end("revoked", notAllowed(identity));
    }
  }
}

function clientOf({ tenant, user }: Identity): string {
  return `user ${tenant.length} ${tenant}${user}`;
}

function notAllowed({ deviceId }: Identity): AppError {
  return new AppError("auth.not_authorized", `this client may not read the messages of ${deviceId}`);
}

/** A request counts like a reading. @throws AppError `limit.rate` */
function countRequest(request: FastifyRequest): void {
  const connection = connectionOf(request.raw.socket);
  if ((connection.held & HOLD.rate) !== 0) throw new AppError("limit.rate", "this client asks too often");
  connection.spend(1);
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
