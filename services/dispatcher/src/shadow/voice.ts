/** How devices and those who listen to them are told of their shadows. */
import { control, Kind, Protocol, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { DeviceLocation } from "../core/device-directory.js";
import type { CoreLog } from "../core/ports.js";
import type { DevicePublisher } from "../devices/module.js";

export interface VoiceOptions {
  readonly publisher: DevicePublisher;
  readonly log: CoreLog;
  /** Where a device of a partition of this process is connected. */
  locate(partition: number, tenant: string, device: string): DeviceLocation | undefined;
  /** Whether anybody is sent what is published there. */
  isWanted(tenant: string, device: string, path: string): boolean;
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
}

const DOWNLINK_MS = 5_000;
/** Messages on their way to connections; what comes beyond is left out, as on any connection that is slow. */
const MAX_DOWNLINKS = 1_000;

/**
 * MQTT topics are published for whoever subscribes to them, the device among them. A device that speaks anything else has no subscriptions:
 * it gets the same path and payload on its connection.
 */
export class Voice {
  #downlinks = 0;

  constructor(private readonly options: VoiceOptions) {}

  isConnected(partition: number, tenant: string, device: string): boolean {
    return this.options.locate(partition, tenant, device) !== undefined;
  }

  /** Tells the device, and everybody who subscribes to the topic. At most once: whoever needs more asks, or is told again. */
  tell(partition: number, tenant: string, device: string, path: string, document: object): void {
    const { protocol } = this.options.locate(partition, tenant, device) ?? {};
    const isOnOwnConnection = protocol !== undefined && protocol !== Protocol.MQTT;
    const isWanted = this.isWanted(tenant, device, path);
    if (!isOnOwnConnection && !isWanted) return;
    const payload = Buffer.from(JSON.stringify(document));
    if (isWanted) this.publish(tenant, device, path, payload, false);
    if (isOnOwnConnection) this.#downlink(partition, tenant, device, path, payload);
  }

  isWanted(tenant: string, device: string, path: string): boolean {
    return this.options.isWanted(tenant, device, path);
  }

  /** Tells only the device, on its own connection. */
  tellAlone(partition: number, tenant: string, device: string, path: string, document: object): void {
    this.#downlink(partition, tenant, device, path, Buffer.from(JSON.stringify(document)));
  }

  /** For whoever subscribes to the topic; an empty payload that is retained clears it. */
  publish(tenant: string, device: string, path: string, payload: Uint8Array, retain: boolean): void {
    try {
      this.options.publisher.telemetry({ tenant, device, path, payload, kind: Kind.SHADOW, retain });
    } catch (err) {
      // Such a device cannot subscribe to it either.
      this.options.log.debug({ err, device }, "a shadow's news cannot be published");
    }
  }

  #downlink(partition: number, tenant: string, deviceId: string, path: string, payload: Buffer): void {
    if (this.#downlinks >= MAX_DOWNLINKS) return;
    this.#downlinks += 1;
    const request = control.DownlinkRequest.fromPartial({
      tenant,
      deviceId,
      path,
      payload,
      contentType: "application/json",
      timeoutMs: DOWNLINK_MS,
    });
    void this.options
      .request(subjects.downlink(partition), control.DownlinkRequest.encode(request).finish(), DOWNLINK_MS)
      .catch((err: unknown) => {
        this.options.log.debug({ err: AppError.from(err), device: deviceId }, "a device cannot be told");
      })
      .finally(() => {
        this.#downlinks -= 1;
      });
  }
}
