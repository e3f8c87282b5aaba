/** One WebSocket client that speaks JSON: readings, acknowledgements, live data, messages for the device. */
import { isUtf8 } from "node:buffer";
import { randomBytes } from "node:crypto";
import type { EventTicket } from "@myelin/bus";
import { envelopeIdOf, isTopicFilter, isTopicName } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { WebSocket } from "ws";
import type { Identity } from "../../core/admission.js";
import { Connection, type ConnectionScope, type DisconnectReason } from "../../core/connection.js";
import { kindOf } from "../../core/ingress.js";
import { JsonMessage } from "../../core/json-message.js";
import { isJson } from "../../core/json-scan.js";
import type { Traffic } from "../../core/metrics.js";
import type { ProtocolContext } from "../../core/protocol.js";
import type { DeviceSession, Downlink, DownlinkState } from "../../core/session.js";
import type { Subscriber, SubscriberMessage } from "../../core/subscriptions.js";
import { CLOSE, closeCodeOf } from "./close-codes.js";
import type { WebSocketConfig } from "./config.js";
import { reasonOf } from "./websocket-stream.js";

const MAX_MALFORMED = 16;
const MAX_WAITING = 256;
const LINGER_TICKS = 4;

/** What the JSON connections of one port share. */
export class JsonShared {
  /** Valid while one message is handled. */
  readonly message = new JsonMessage();
  readonly traffic: Traffic;

  constructor(
    readonly ctx: ProtocolContext,
    readonly scope: ConnectionScope,
    readonly config: WebSocketConfig,
  ) {
    this.traffic = ctx.metrics.traffic(scope.kind);
  }
}

type Settle = (error: AppError | undefined) => void;

export class JsonConnection extends Connection implements EventTicket, DeviceSession, Subscriber {
  private ending: DisconnectReason = "client";
  private closing = false;
  private malformed = 0;
  private nextEvent = 0;
  /** Ids of events on their way, by number. */
  private readonly events = new Map<number, string>();
  private waiting: Map<string, Settle> | undefined;
  private filters = 0;

  constructor(
    private readonly shared: JsonShared,
    private readonly ws: WebSocket,
    address: string,
  ) {
    super(shared.scope, address);
  }

  /** The client is known and the socket open. */
  open(identity: Identity): void {
    const { ws } = this;
    this.admitted(identity);
    this.shared.ctx.sessions.open(this);
    ws.on("message", (data: Buffer, isBinary: boolean) => this.onMessage(data, isBinary));
    ws.on("pong", () => this.seen());
    ws.on("ping", () => this.seen());
    ws.on("error", (error: NodeJS.ErrnoException) => {
      const reason = reasonOf(error);
      if (reason === "frame_too_large") this.ending = "frame_too_large";
      else if (reason !== "transport") this.ending = "malformed";
      this.shared.ctx.metrics.malformed.add(`websocket,${reason}`);
    });
    ws.on("close", () => this.onClosed());
  }

  override ping(): void {
    if (this.ws.readyState === this.ws.OPEN) this.ws.ping();
  }

  disconnect(reason: DisconnectReason, error?: AppError): void {
    if (this.closing) return;
    this.ending = reason;
    if (error !== undefined) this.refuse("", error);
    this.closing = true;
    this.ws.close(closeCodeOf(reason), reason);
    this.ws.resume();
    if (!this.gone) this.scope.manager.wheel.schedule(this, LINGER_TICKS);
  }

  override onWheel(now: number): number {
    if (!this.closing) return super.onWheel(now);
    if (!this.gone) this.ws.terminate();
    return 0;
  }

  takenOver(): void {
    this.disconnect("takeover");
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      const id = this.events.get(numbers[i]!) ?? "";
      this.events.delete(numbers[i]!);
      if (error === undefined) this.send(`{"ack":${JSON.stringify(id)}}`);
      else this.refuse(id, error);
    }
  }

  deliver(message: SubscriberMessage): boolean {
    const { path, deviceId, bytes, payloadStart, payloadEnd, contentType } = message;
    if (this.ws.bufferedAmount > this.scope.limits.maxWriteBufferBytes) {
      this.shared.ctx.metrics.undelivered.add("websocket,slow_client");
      return false;
    }
    const payload = payloadField(bytes.subarray(payloadStart, payloadEnd), contentType);
    this.send(`{"path":${JSON.stringify(path)},"device":${JSON.stringify(deviceId)},${payload}}`);
    this.shared.traffic.sentMessages += 1;
    return true;
  }

  async downlink({ path, payload, contentType, waitForDevice, timeoutMs }: Downlink): Promise<DownlinkState> {
    if (this.closing || this.gone) {
      throw new AppError("device.not_connected", `${this.identity.deviceId} has just disconnected`);
    }
    const full = this.ws.bufferedAmount > this.scope.limits.maxWriteBufferBytes;
    if (full || (this.waiting?.size ?? 0) >= MAX_WAITING) {
      throw new AppError("limit.slow_client", `${this.identity.deviceId} takes its messages too slowly`);
    }
    const id = randomBytes(9).toString("base64url");
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    const text = `{"path":${JSON.stringify(path)},"id":"${id}",${payloadField(bytes, contentType)}}`;
    this.shared.traffic.sentMessages += 1;
    if (!waitForDevice) {
      this.send(text);
      return "written";
    }
    const { clock } = this.shared.ctx;
    return await new Promise((resolve, reject) => {
      this.waiting ??= new Map();
      const timer = clock.setTimeout(() => {
        this.waiting?.delete(id);
        reject(new AppError("request.timeout", `no acknowledgement within ${timeoutMs} ms`));
      }, timeoutMs);
      this.waiting.set(id, (error) => {
        clock.clear(timer);
        if (error === undefined) resolve("acknowledged");
        else reject(error);
      });
      this.send(text);
    });
  }

  protected pauseReading(): void {
    this.ws.pause();
  }

  protected resumeReading(): void {
    this.ws.resume();
  }

  private onMessage(data: Buffer, isBinary: boolean): void {
    if (this.closing) return;
    this.seen();
    const { traffic, message, ctx } = this.shared;
    traffic.receivedBytes += data.length;
    if (isBinary) {
      ctx.metrics.malformed.add("websocket,binary");
      this.ending = "violation";
      this.closing = true;
      this.ws.close(CLOSE.unsupported, "text messages only");
      return;
    }
    // What was read already is still taken, so nothing is kept; the rest waits in the socket.
    this.scope.manager.mustHold(this, 0);
    try {
      message.read(data);
      this.take(message, data);
    } catch (thrown) {
      this.onBad(AppError.from(thrown), message.id);
    }
  }

  private take(message: JsonMessage, data: Buffer): void {
    if (message.ack !== "") this.settle(message.ack);
    else if (message.subscribe !== "") this.subscribe(message.subscribe);
    else if (message.unsubscribe !== "") {
      if (this.shared.ctx.subscriptions.remove(this, message.unsubscribe)) this.filters -= 1;
      this.send(`{"unsubscribed":${JSON.stringify(message.unsubscribe)}}`);
    } else this.publish(message, data);
  }

  private publish({ path, id, lane, device, payloadStart, payloadEnd }: JsonMessage, data: Buffer): void {
    const { ctx, traffic } = this.shared;
    const { identity, protocol, port } = this;
    if (!isTopicName(path))
      throw new AppError("protocol.malformed", "the path is empty or holds +, # or NUL");
    if (device !== "" && device !== identity.deviceId) {
      throw new AppError("auth.not_authorized", `${identity.deviceId} may not speak for ${device}`);
    }
    const contentType = "application/json";
    const kind = kindOf(path, lane);
    const channel = ctx.ingress.channelOf({ identity, path, kind, protocol, port, contentType }, this);
    traffic.receivedMessages += 1;
    if (lane === 0) ctx.ingress.telemetry(channel, data, payloadStart, payloadEnd);
    else {
      const number = this.nextEvent++;
      this.events.set(number, id);
      const extras =
        id === "" ? undefined : { id: envelopeIdOf(identity.tenant, identity.deviceId, id), senderId: true };
      ctx.ingress.event(channel, data, payloadStart, payloadEnd, this, number, extras);
    }
    this.spend(1);
  }

  private subscribe(filter: string): void {
    const { ctx, config } = this.shared;
    if (!isTopicFilter(filter)) throw new AppError("protocol.malformed", "this is no topic filter");
    if (!ctx.admission.subscribe(this.identity, filter)) {
      throw new AppError("auth.not_authorized", `${this.identity.deviceId} may not subscribe to ${filter}`);
    }
    if (this.filters >= config.maxSubscriptions) {
      throw new AppError("queue.full", `a client may hold ${config.maxSubscriptions} filters`);
    }
    const outcome = ctx.subscriptions.add(this, filter, 0);
    if (outcome === "full") throw new AppError("queue.full", "the listener can hold no further filter");
    if (outcome === "added") this.filters += 1;
    this.send(`{"subscribed":${JSON.stringify(filter)}}`);
  }

  override revoked(filter: string): void {
    this.filters -= 1;
    this.send(`{"unsubscribed":${JSON.stringify(filter)}}`);
    const denied = `${this.identity.deviceId} may not subscribe to ${filter} any more`;
    this.refuse("", new AppError("auth.not_authorized", denied));
  }

  private settle(id: string): void {
    const waiting = this.waiting?.get(id);
    this.waiting?.delete(id);
    waiting?.(undefined);
  }

  /** A message that is refused alone; a client that sends nothing else is closed. */
  private onBad(error: AppError, id: string): void {
    const { ctx } = this.shared;
    if (error.family === "ours") {
      ctx.log.error({ code: error.code, stack: error.stack, cause: error.cause }, "cannot handle a message");
      this.disconnect("internal", error);
      return;
    }
    ctx.ingress.refuse(this.shared.message.lane, error.code);
    if (error.code === "contract.bad_payload" || error.code === "protocol.malformed") {
      ctx.metrics.malformed.add(`websocket,${error.code === "protocol.malformed" ? "malformed" : "json"}`);
      this.malformed += 1;
    }
    if (this.malformed > MAX_MALFORMED) this.disconnect("violation", error);
    else this.refuse(id, error);
  }

  private refuse(id: string, { code, message, retryable, family }: AppError): void {
    const detail = family === "ours" ? "the message could not be handled" : message;
    this.send(JSON.stringify({ error: code, id: id || undefined, detail, retryable }));
  }

  private send(text: string): void {
    if (this.gone || this.ws.readyState !== this.ws.OPEN) return;
    this.shared.traffic.sentBytes += text.length;
    this.ws.send(text);
    // Answers are owed: a client that does not read them is not served.
    if (this.ws.bufferedAmount > 2 * this.scope.limits.maxWriteBufferBytes) {
      this.ending = "slow_client";
      this.ws.terminate();
    }
  }

  private onClosed(): void {
    if (this.gone) return;
    const { ctx } = this.shared;
    this.closing = true;
    ctx.connections.remove(this, this.ending);
    ctx.subscriptions.removeAll(this);
    ctx.sessions.close(this, this.ending);
    for (const settle of this.waiting?.values() ?? []) {
      settle(new AppError("device.left", `${this.identity.deviceId} left before it acknowledged`));
    }
    this.waiting = undefined;
  }
}

/** JSON goes as it is, other bytes in base64. */
function payloadField(payload: Buffer, contentType: string): string {
  if (payload.length > 0 && isUtf8(payload) && isJson(payload, 0, payload.length)) {
    return `"payload":${payload.toString("utf8")}`;
  }
  return `"contentType":${JSON.stringify(contentType)},"payloadBase64":"${payload.toString("base64")}"`;
}
