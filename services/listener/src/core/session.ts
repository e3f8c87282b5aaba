/** A device as the platform sees it: what can be reached and what presence reports. */
import type { control, Protocol } from "@myelin/contract";
import type { Identity } from "./admission.js";

/** One message for a device. `payload` belongs to the receiver. */
export interface Downlink {
  readonly path: string;
  readonly payload: Uint8Array;
  readonly contentType: string;
  /** True: answer when the device has acknowledged; false: when the bytes were handed to its connection. */
  readonly waitForDevice: boolean;
  /** Bound of the wait. */
  readonly timeoutMs: number;
}

export type DownlinkState = "written" | "acknowledged";

/** What a protocol offers for a device that is connected; usually the connection itself. */
export interface DeviceSession {
  readonly identity: Identity;
  /** Connection epoch: `Connection.number` of the connection it began with. */
  readonly number: number;
  readonly protocol: Protocol;
  readonly address: string;
  /** Unix microseconds; set by `Sessions.open`. */
  openedAtUs: number;
  /**
   * Called for each downlink message, in order. Resolves with how far it came.
   * @throws AppError `limit.slow_client`, `limit.frame_too_large`, `request.timeout`, `device.not_connected`, `device.left`
   */
  downlink(message: Downlink): Promise<DownlinkState>;
  /** The device begins anew: with this one its earlier session has ended, and its will is due. */
  readonly beginsAnew?: boolean;
  /** What is published when it is lost, as anybody could do it; absent: nothing. */
  keptWill?(): control.KeptWill | undefined;
  /** A newer connection of the same device is there: say so in the protocol's terms and close. @param anew as its `beginsAnew` */
  takenOver(anew: boolean): void;
}

/** What of a session others are told when it claims its device. */
export type Claimant = Pick<DeviceSession, "identity" | "number" | "protocol" | "address" | "beginsAnew">;

/**
 * The devices of this process. A device has one session: a newer one takes over, except that one of HTTP, which only fetches
 * now and then, never ends one of a protocol that stays connected. Opens and ends their presence. */
export interface Sessions {
  /**
   * The device is there. An older session of the same device, here or on another listener, is taken over.
   * `close` must follow once.
   */
  open(session: DeviceSession): void;
  /** The device is gone; nothing happens when a newer session of it is open. @param reason closed set, for presence */
  close(session: DeviceSession, reason: string): void;
  get(tenant: string, deviceId: string): DeviceSession | undefined;
  /**
   * Does another listener hold a connection of the device that HTTP must not end? True as soon as one says so, false when none
   * has in a tenth of a second; one that says it later ends the session that was opened meanwhile.
   */
  isHeldElsewhere(claimant: Claimant): Promise<boolean>;
}
