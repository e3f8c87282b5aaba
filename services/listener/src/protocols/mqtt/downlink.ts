/** Messages for the device itself: sent to the path that it has subscribed to, since MQTT knows no other addressee. */
import { AppError } from "@myelin/kernel";
import type { Downlink, DownlinkState } from "../../core/session.js";
import type { OutgoingPublish, PublishProperties } from "./codec/publish-writer.js";
import { tagsFor } from "./keeping.js";
import type { MqttConnection } from "./mqtt-connection.js";
import { NO_PROPERTIES, type Outcome, send } from "./outgoing.js";
import { STATE } from "./state.js";
import { tagQos } from "./tags.js";

/** @throws AppError `device.not_subscribed`, `device.not_connected`, `device.left`, `device.refused`, `limit.slow_client`, `request.timeout` */
export async function deliverDownlink(c: MqttConnection, message: Downlink): Promise<DownlinkState> {
  if (c.state !== STATE.ready) {
    throw new AppError("device.not_connected", `${c.identity.deviceId} has just disconnected`);
  }
  const tags = tagsFor(c, message.path);
  if (tags.length === 0) {
    throw new AppError(
      "device.not_subscribed",
      `${c.identity.deviceId} is connected but has not subscribed to ${message.path}`,
    );
  }
  // The client may have asked for QoS 2; what is sent once by this listener needs no more than QoS 1 to be acknowledged.
  const qos = tags.some((tag) => tagQos(tag) > 0) ? 1 : 0;
  const publish: OutgoingPublish = {
    topic: message.path,
    payload: message.payload,
    payloadStart: 0,
    payloadEnd: message.payload.length,
    qos,
    retain: false,
    dup: false,
    packetId: 0,
  };
  const properties =
    c.version === 5 && message.contentType !== ""
      ? { ...NO_PROPERTIES, contentType: message.contentType }
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
        reject(new AppError("device.left", `${c.identity.deviceId} left before it acknowledged`));
      } else if (reason >= 0x80) {
        reject(new AppError("device.refused", `${c.identity.deviceId} refused with reason ${reason}`));
      } else resolve("acknowledged");
      return undefined;
    });
    if (outcome === "dropped") {
      clock.clear(timer);
      reject(new AppError("limit.slow_client", `${c.identity.deviceId} takes its messages too slowly`));
    }
  });
}
