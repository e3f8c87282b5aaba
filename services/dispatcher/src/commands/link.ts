/** The way of commands to the devices of a partition: the downlink of their connections, whatever they speak. */
import { app, control, type command as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { DeviceDirectory } from "../core/device-directory.js";
import type { DeviceLink } from "./ports.js";
import { requestTopic } from "./topics.js";

const ACKNOWLEDGED_WITHIN_MS = 5_000;

/** What of a partition is needed. */
export interface LinkedPartition {
  readonly devices: Pick<DeviceDirectory, "find">;
  /** Encoded `DownlinkResult`. */
  downlink(request: control.DownlinkRequest): Promise<Uint8Array>;
}

/** @param partition undefined as long as it is not served here */
export function createDeviceLink(partition: () => LinkedPartition | undefined): DeviceLink {
  return {
    isConnected: (tenant, device) => partition()?.devices.find(tenant, device) !== undefined,
    async give(command) {
      const { tenant, device, id, traceparent } = command;
      const served = partition();
      if (served === undefined)
        throw new AppError("device.not_connected", "the partition of the device is not served yet");
      const answer = await served.downlink({
        tenant,
        deviceId: device,
        path: requestTopic(device, id),
        payload: payloadOf(command),
        contentType: "application/json",
        waitForDevice: true,
        timeoutMs: ACKNOWLEDGED_WITHIN_MS,
        traceparent,
        connectionEpoch: 0,
      });
      const { state, error } = control.DownlinkResult.decode(answer);
      if (error !== undefined) {
        const { code, message, retryable } = error;
        throw AppError.fromWire({ code, message, retryable, details: {} });
      }
      return state === app.SendState.ACKNOWLEDGED ? "acknowledged" : "written";
    },
  };
}

function payloadOf({ id, name, parameters, expiresAtUs, attempts }: wire.Command): Buffer {
  const head = {
    id,
    command: name,
    expiresAt: new Date(expiresAtUs / 1_000).toISOString(),
    attempt: attempts,
  };
  // The parameters are JSON as they are.
  return Buffer.from(`${JSON.stringify(head).slice(0, -1)},"parameters":${parameters}}`);
}
