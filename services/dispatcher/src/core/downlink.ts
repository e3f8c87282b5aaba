/** Passes a message for a device on to the listener that holds its connection, and tells the asker what became of it. */
import { app, control, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { DeviceDirectory, DeviceLocation } from "./device-directory.js";
import type { DispatcherPorts } from "./ports.js";

const DEFAULT_TIMEOUT_MS = 5_000;
const MAX_TIMEOUT_MS = 60_000;
const LOOK_EVERY_MS = 25;

export interface DownlinkContext {
  readonly devices: DeviceDirectory;
  readonly ports: DispatcherPorts;
  /** How long a device that is not in the directory may still turn up. */
  readonly patienceMs: number;
}

/** Encoded DownlinkResult. Never rejects: what went wrong is in the result. */
export async function answerDownlink(
  request: control.DownlinkRequest,
  context: DownlinkContext,
): Promise<Uint8Array> {
  try {
    const location = await locate(request, context);
    const timeoutMs = Math.min(MAX_TIMEOUT_MS, request.timeoutMs || DEFAULT_TIMEOUT_MS);
    const forwarded = { ...request, timeoutMs, connectionEpoch: location.connectionEpoch };
    return await context.ports.request(
      subjects.listenerDownlink(location.listener),
      control.DownlinkRequest.encode(forwarded).finish(),
      timeoutMs,
    );
  } catch (thrown) {
    return refusedDownlink(AppError.from(thrown));
  }
}

async function locate(
  { tenant, deviceId }: control.DownlinkRequest,
  { devices, ports, patienceMs }: DownlinkContext,
): Promise<DeviceLocation> {
  const until = ports.clock.nowMs() + patienceMs;
  for (;;) {
    const location = devices.find(tenant, deviceId);
    if (location !== undefined) return location;
    if (ports.clock.nowMs() >= until) {
      throw new AppError("device.not_connected", `device ${deviceId} is not connected`);
    }
    await ports.clock.sleep(LOOK_EVERY_MS);
  }
}

/** Encoded `DownlinkResult` of a message that nobody was given. */
export function refusedDownlink(refusal: AppError): Uint8Array {
  const { code, message, retryable, details } = refusal.toWire();
  const error: app.AppError = {
    code,
    message,
    retryable,
    detailsJson: details === undefined ? "" : JSON.stringify(details),
  };
  return control.DownlinkResult.encode({ state: app.SendState.REFUSED, error }).finish();
}
