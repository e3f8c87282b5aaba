/** Messages of apps for one connected device: asked of the owner of the device's partition. */
import type { Bus } from "@myelin/bus";
import {
  app,
  control,
  expectNoPlatformTopic,
  isTopicName,
  partitionOf,
  subjects,
  toAppErrorMessage,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { timeoutOf } from "./requests.js";
import type { AppSession } from "./session.js";
import type { BridgeSettings } from "./settings.js";

/** What the downlink needs of the bridge. */
export interface DownlinkPorts {
  readonly bus: Bus;
  readonly partitions: number;
  readonly settings: BridgeSettings["calls"];
  refused(error: AppError): void;
}

/** Asks; nothing is kept or repeated here, the app decides what a failure means. */
export class Downlinks {
  readonly #ports: DownlinkPorts;

  constructor(ports: DownlinkPorts) {
    this.#ports = ports;
  }

  /** Resolves always: what went wrong is in the result's error. */
  async send(session: AppSession, request: app.SendToDevice): Promise<app.SendResult> {
    const { settings, refused } = this.#ports;
    try {
      if (session.pendingCalls > settings.maxPending) {
        throw new AppError("queue.full", `${settings.maxPending} calls of ${session.app} wait already`);
      }
      const { state, error } = await this.#ask(request);
      return { id: request.id, state, error };
    } catch (thrown) {
      const error = AppError.from(thrown);
      refused(error);
      return { id: request.id, state: app.SendState.REFUSED, error: toAppErrorMessage(error) };
    }
  }

  async #ask(request: app.SendToDevice): Promise<control.DownlinkResult> {
    const { bus, partitions, settings } = this.#ports;
    const { tenant, deviceId, path, payload, contentType, waitForDevice, traceparent } = request;
    if (deviceId === "" || !isTopicName(path)) {
      throw new AppError(
        "contract.bad_envelope",
        "a message for a device needs a device id and a path without wildcards",
      );
    }
    expectNoPlatformTopic(path);
    const timeoutMs = timeoutOf(request.timeoutMs, settings);
    const message: control.DownlinkRequest = {
      tenant,
      deviceId,
      path,
      payload,
      contentType,
      waitForDevice,
      timeoutMs,
      traceparent,
      connectionEpoch: 0,
    };
    const subject = subjects.downlink(partitionOf(tenant, deviceId, partitions));
    const answer = await bus
      .request(subject, control.DownlinkRequest.encode(message).finish(), timeoutMs)
      .catch((thrown: unknown) => {
        const error = AppError.from(thrown);
        if (error.code !== "request.no_responder" && error.code !== "bus.no_responders") throw error;
        throw new AppError("partition.not_owned", `nobody is in charge of device ${deviceId} at the moment`, {
          cause: error,
        });
      });
    try {
      return control.DownlinkResult.decode(answer);
    } catch (cause) {
      throw new AppError("contract.bad_frame", "the answer about a downlink cannot be decoded", { cause });
    }
  }
}
