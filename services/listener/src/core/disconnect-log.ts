/** When and why devices were last disconnected, for as many as fit. */
import type { Identity } from "./admission.js";
import type { DisconnectReason } from "./connection.js";

/** The end of a device's last connection. */
export interface LastDisconnect {
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly reason: DisconnectReason;
}

/** One key for tenant and device: the device id alone in the default tenant. */
export function deviceKey(tenant: string, deviceId: string): string {
  return tenant === "" ? deviceId : `${tenant}\0${deviceId}`;
}

/** Bounded: the device that was disconnected longest ago is forgotten first. */
export class DisconnectLog {
  private readonly byDevice = new Map<string, LastDisconnect>();

  constructor(private readonly capacity: number) {}

  note(identity: Identity, reason: DisconnectReason, atMs: number): void {
    const key = deviceKey(identity.tenant, identity.deviceId);
    this.byDevice.delete(key);
    this.byDevice.set(key, { atMs, reason });
    if (this.byDevice.size > this.capacity) this.byDevice.delete(this.byDevice.keys().next().value!);
  }

  get(tenant: string, deviceId: string): LastDisconnect | undefined {
    return this.byDevice.get(deviceKey(tenant, deviceId));
  }
}
