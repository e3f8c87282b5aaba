/** Sends messages to devices: asks the owner of the device's partition, who knows which listener holds it. */
import type { Bus } from "@myelin/bus";
import { app, control, expectNoPlatformTopic, partitionOf, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { DownlinkState } from "./session.js";

/** A message for a device, by name. */
export interface DownlinkOrder {
  readonly tenant: string;
  readonly deviceId: string;
  readonly path: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
  /** True: resolve when the device has acknowledged; false: when its connection has taken the bytes. */
  readonly waitForDevice: boolean;
  readonly timeoutMs: number;
  readonly traceparent: string;
}

/** Time that the way to the device and back may take beyond the wait for the device itself. */
const TRANSIT_MS = 1_000;

export class DownlinkClient {
  /** @param partitions number of partitions of the deployment */
  constructor(
    private readonly bus: Bus,
    private readonly partitions: number,
  ) {}

  /**
   * Resolves with how far the message came.
   * @throws AppError `auth.not_authorized` for a path of the platform, `device.not_connected` and whatever the holder of the connection reports; `request.timeout`,
   * `request.no_responder`, `bus.disconnected` when nobody answers
   */
  async send(order: DownlinkOrder): Promise<DownlinkState> {
    expectNoPlatformTopic(order.path);
    const request = control.DownlinkRequest.encode({
      ...order,
      payload: Buffer.from(order.payload.buffer, order.payload.byteOffset, order.payload.byteLength),
      connectionEpoch: 0,
    }).finish();
    const subject = subjects.downlink(partitionOf(order.tenant, order.deviceId, this.partitions));
    const answer = await this.bus.request(subject, request, order.timeoutMs + TRANSIT_MS);
    const { state, error } = decode(answer);
    if (error !== undefined) throw AppError.fromWire({ ...error, details: detailsOf(error.detailsJson) });
    return state === app.SendState.ACKNOWLEDGED ? "acknowledged" : "written";
  }
}

function decode(answer: Uint8Array): control.DownlinkResult {
  try {
    return control.DownlinkResult.decode(answer);
  } catch (cause) {
    throw new AppError("contract.bad_frame", "the answer is no DownlinkResult", { cause });
  }
}

function detailsOf(json: string): unknown {
  if (json === "") return undefined;
  try {
    return JSON.parse(json);
  } catch {
    // Details explain an error that is reported anyway.
    return undefined;
  }
}
