/** Which listener holds which device of one partition, as the listeners report it; nothing of it is stored. */
import { type control, Protocol } from "@myelin/contract";
import type { ToldWills } from "./told-wills.js";

/** Where a device is connected. */
export interface DeviceLocation {
  readonly listener: string;
  readonly incarnation: number;
  readonly connectionEpoch: number;
  readonly protocol: Protocol;
  readonly atUs: number;
}

/** Told of each connection, also when a listener tells all of its own again, or, without a change, of one that is connected nowhere; by tenant, NUL, device. */
export type DeviceWatch = (key: string, change: control.PresenceChange | undefined) => void;

/** One per owned partition; refilled by a replay after each change of owner. */
export class DeviceDirectory {
  private readonly devices = new Map<string, DeviceLocation>();
  private readonly listeners = new Map<string, { incarnation: number; readonly devices: Set<string> }>();

  /** @param wills those of its devices, told with where they are */
  constructor(
    private readonly wills: ToldWills,
    private readonly nowMs: () => number,
    private readonly watch?: DeviceWatch,
  ) {}

  /** Devices connected at the moment. */
  get size(): number {
    return this.devices.size;
  }

  find(tenant: string, deviceId: string): DeviceLocation | undefined {
    return this.devices.get(`${tenant}\0${deviceId}`);
  }

  /** @param key tenant, NUL, device */
  has(key: string): boolean {
    return this.devices.has(key);
  }

  /** Takes a report. Connections of different listeners are ordered by their time, those of one by their epoch. */
  apply(batch: control.PresenceBatch): void {
    let listener = this.listeners.get(batch.listener);
    if (listener === undefined || listener.incarnation !== batch.incarnation || batch.reset) {
      this.forget(batch.listener);
      listener = { incarnation: batch.incarnation, devices: new Set() };
      this.listeners.set(batch.listener, listener);
      if (batch.reset) this.wills.retell(batch);
    }
    for (const change of batch.changes) {
      const key = `${change.tenant}\0${change.deviceId}`;
      const known = this.devices.get(key);
      const own = known?.listener === batch.listener;
      if (change.online) {
        const stale = own
          ? known.connectionEpoch > change.connectionEpoch
          : known !== undefined && known.atUs > change.atUs;
        if (stale) continue;
        if (known !== undefined && !own) this.listeners.get(known.listener)?.devices.delete(key);
        listener.devices.add(key);
        this.devices.set(key, {
          listener: batch.listener,
          incarnation: batch.incarnation,
          connectionEpoch: change.connectionEpoch,
          protocol: change.protocol,
          atUs: change.atUs,
        });
        if (change.protocol !== Protocol.HTTP) this.wills.tell(key, batch, change);
        this.watch?.(key, change);
        continue;
      }
      if (own && known.connectionEpoch <= change.connectionEpoch) {
        this.devices.delete(key);
        listener.devices.delete(key);
        this.watch?.(key, undefined);
      }
      this.tellWill(key, batch, change);
    }
  }

  /** Whose connection has ended may have a will that waits. One that only fetches does not count as here. */
  private tellWill(key: string, batch: control.PresenceBatch, change: control.PresenceChange): void {
    const here = this.devices.get(key)?.protocol ?? Protocol.HTTP;
    if (change.protocol === Protocol.HTTP || here !== Protocol.HTTP) return;
    if (change.will.length > 0) this.wills.tell(key, batch, change, this.nowMs());
    else this.wills.settle(key, batch);
  }

  /** A listener is gone, and with it its connections. */
  forget(listener: string): void {
    for (const key of this.listeners.get(listener)?.devices ?? []) {
      this.devices.delete(key);
      this.watch?.(key, undefined);
    }
    this.listeners.delete(listener);
  }
}
