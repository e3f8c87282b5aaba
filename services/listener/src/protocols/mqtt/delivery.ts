/** Messages for a client: what its subscriptions matched, and what is sent to the device itself. */
import { AppError } from "@myelin/kernel";
import type { Downlink, DownlinkState } from "../../core/session.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";
import { violation } from "./codec/fault.js";
import { type OutgoingPublish, type PublishProperties, publishSize, writePublish } from "./codec/writer.js";
import type { MqttConnection } from "./mqtt-connection.js";
import type { AckCallback } from "./session.js";
import { STATE } from "./state.js";
import { tagNoLocal, tagQos, tagRetain, tagSubscriptionId } from "./subscribing.js";

const NOTHING = Buffer.alloc(0);
const EARLY_FLUSH_BYTES = 64 * 1024;

/** What became of a message for the client. */
type Outcome = "sent" | "queued" | "dropped";

/** Writes a matched message; false when it was dropped, which is counted. */
export function deliverMessage(
  c: MqttConnection,
  message: SubscriberMessage,
  tags: readonly number[],
): boolean {
  let granted = 0;
  let retain = false;
  let wanted = false;
  const own = message.deviceId === c.identity.deviceId;
  for (const tag of tags) {
    if (own && tagNoLocal(tag)) continue;
    wanted = true;
    if (tagQos(tag) > granted) granted = 1;
    if (tagRetain(tag)) retain = message.retain;
  }
  if (!wanted) return true;
  const properties = c.version === 5 ? propertiesOf(c, message, tags) : undefined;
  if (properties === EXPIRED) {
    drop(c, "expired");
    return false;
  }
  const qos = message.qos > 0 && granted > 0 ? 1 : 0;
  const outcome = send(
    c,
    {
      topic: message.path,
      payload: message.bytes,
      payloadStart: message.payloadStart,
      payloadEnd: message.payloadEnd,
      qos,
      retain,
      packetId: 0,
    },
    properties,
    undefined,
  );
  return outcome !== "dropped";
}

const EXPIRED: PublishProperties = {
  contentType: "",
  messageExpiry: 0,
  responseTopic: "",
  correlationData: NOTHING,
  subscriptionIds: [],
  userProperties: [],
};

function propertiesOf(
  c: MqttConnection,
  message: SubscriberMessage,
  tags: readonly number[],
): PublishProperties | undefined {
  const extras = message.extras();
  let subscriptionIds: number[] | undefined;
  for (const tag of tags) {
    const id = tagSubscriptionId(tag);
    if (id > 0) {
      subscriptionIds ??= [];
      subscriptionIds.push(id);
    }
  }
  if (extras === undefined && subscriptionIds === undefined && message.contentType === "") return undefined;
  let messageExpiry = 0;
  if (extras !== undefined && extras.expiresAtUs > 0) {
    messageExpiry = Math.ceil((extras.expiresAtUs - c.shared.ctx.clock.wallUs()) / 1_000_000);
    if (messageExpiry <= 0) return EXPIRED;
  }
  return {
    contentType: message.contentType,
    messageExpiry,
    responseTopic: extras?.responsePath ?? "",
    correlationData: extras?.correlation ?? NOTHING,
    subscriptionIds: subscriptionIds ?? [],
    userProperties: extras?.headers ?? [],
  };
}

/** Sends a message to the device; it must have subscribed to the path, since MQTT knows no other addressee. */
export async function deliverDownlink(c: MqttConnection, message: Downlink): Promise<DownlinkState> {
  if (c.state !== STATE.ready) {
    throw new AppError("device.not_connected", `${c.identity.deviceId} has just disconnected`);
  }
  const tags = c.shared.ctx.subscriptions.tagsOf(c, message.path);
  if (tags.length === 0) {
    throw new AppError(
      "device.not_subscribed",
      `${c.identity.deviceId} is connected but has not subscribed to ${message.path}`,
    );
  }
  const qos = tags.some((tag) => tagQos(tag) > 0) ? 1 : 0;
  const publish: OutgoingPublish = {
    topic: message.path,
    payload: message.payload,
    payloadStart: 0,
    payloadEnd: message.payload.length,
    qos,
    retain: false,
    packetId: 0,
  };
  const properties =
    c.version === 5 && message.contentType !== ""
      ? { ...EXPIRED, contentType: message.contentType }
      : undefined;
  if (qos === 0 || !message.waitForDevice) {
    accepted(c, send(c, publish, properties, undefined));
    return "written";
  }
  return await sendAndWait(c, publish, properties, message.timeoutMs);
}

function accepted(c: MqttConnection, outcome: Outcome): void {
  if (outcome === "dropped") {
    throw new AppError("limit.slow_client", `${c.identity.deviceId} takes its messages too slowly`);
  }
}

function sendAndWait(
  c: MqttConnection,
  publish: OutgoingPublish,
  properties: PublishProperties | undefined,
  timeoutMs: number,
): Promise<DownlinkState> {
  const { clock } = c.shared.ctx;
  return new Promise((resolve, reject) => {
    const timer = clock.setTimeout(() => {
      reject(
        new AppError("request.timeout", `${c.identity.deviceId} did not acknowledge within ${timeoutMs} ms`),
      );
    }, timeoutMs);
    const outcome = send(c, publish, properties, (reason) => {
      clock.clear(timer);
      if (reason === undefined) {
        reject(new AppError("device.not_connected", `${c.identity.deviceId} left before it acknowledged`));
      } else if (reason >= 0x80) {
        reject(new AppError("device.refused", `${c.identity.deviceId} refused with reason ${reason}`));
      } else resolve("acknowledged");
    });
    if (outcome === "dropped") {
      clock.clear(timer);
      reject(new AppError("limit.slow_client", `${c.identity.deviceId} takes its messages too slowly`));
    }
  });
}

function send(
  c: MqttConnection,
  message: OutgoingPublish,
  properties: PublishProperties | undefined,
  acked: AckCallback | undefined,
): Outcome {
  if (c.state !== STATE.ready) return "dropped";
  if (
    c.maximumPacketSize < 0xffff_ffff &&
    publishSize(message, c.version, properties) > c.maximumPacketSize
  ) {
    // 3.1.2.11.4: behave as if it had been sent.
    drop(c, "too_large");
    return "dropped";
  }
  if (message.qos === 0) {
    if (c.waiting > c.scope.limits.maxWriteBufferBytes) {
      drop(c, "slow_client");
      return "dropped";
    }
    write(c, message, properties);
    return "sent";
  }
  const session = c.openSession();
  if (session.windowFull || c.waiting > c.scope.limits.maxWriteBufferBytes) {
    const own = {
      ...message,
      payload: Buffer.from(message.payload.subarray(message.payloadStart, message.payloadEnd)),
      payloadStart: 0,
      payloadEnd: message.payloadEnd - message.payloadStart,
    };
    if (session.enqueue({ message: own, properties, acked })) return "queued";
    drop(c, "slow_client");
    c.disconnect("slow_client");
    return "dropped";
  }
  write(c, { ...message, packetId: session.takePacketId(acked) }, properties);
  return "sent";
}

function write(c: MqttConnection, message: OutgoingPublish, properties: PublishProperties | undefined): void {
  const out = c.outbox();
  writePublish(out, message, c.version, properties);
  c.shared.counters.sentMessages += 1;
  // A burst within one turn must not count as slowness of the client.
  if (out.length > EARLY_FLUSH_BYTES || out.length > c.scope.limits.maxWriteBufferBytes >>> 2) c.flush();
}

/** PUBACK of the client: frees its place in the window and sends what waits. */
export function onClientAck(c: MqttConnection, packetId: number, reason: number): void {
  const session = c.session;
  if (session === undefined || !session.inflight.has(packetId)) {
    // 3.1.1 says nothing; MQTT 5 calls it no error either (4.13): the window is unaffected.
    if (c.version === 5) return;
    throw violation("packet_id", "PUBACK for a packet identifier that is not in use");
  }
  const acked = session.inflight.get(packetId);
  session.inflight.delete(packetId);
  acked?.(reason);
  while (!session.windowFull && c.waiting <= c.scope.limits.maxWriteBufferBytes) {
    const next = session.dequeue();
    if (next === undefined) return;
    write(c, { ...next.message, packetId: session.takePacketId(next.acked) }, next.properties);
  }
}

function drop(c: MqttConnection, reason: string): void {
  c.shared.ctx.metrics.undelivered.add(`mqtt,${reason}`);
}
