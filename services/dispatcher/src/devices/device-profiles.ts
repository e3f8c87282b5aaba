/** Which profile a device has, asked for each channel and each message: remembered, and forgotten when its record changes. */
import type { Profile } from "@myelin/profile";

/** The records of devices, as far as their profiles go. */
export interface ProfileRecords {
  /** Name of the device's profile, empty when it has none; undefined as long as the records of its partition are being read. */
  profileOf(tenant: string, device: string): string | undefined;
  /** Called with every device whose record was written or removed, and without one when many may have changed. */
  onChange(listener: (tenant?: string, device?: string) => void): void;
}

/** The profiles in force. */
export interface ProfilesInForce {
  readonly size: number;
  get(name: string): Profile | undefined;
}

/** Devices remembered; beyond it the one that was asked for first is forgotten. */
const MAX_DEVICES = 65_536;

/** One per process. */
export class DeviceProfiles {
  readonly #names = new Map<string, string>();

  /** @param onMoved the answer for some device that was asked for has changed */
  constructor(
    private readonly records: ProfileRecords,
    private readonly inForce: ProfilesInForce,
    private readonly onMoved: () => void,
  ) {
    records.onChange((tenant, device) => this.#changed(tenant, device));
  }

  /** No device has samples: there is no profile. */
  get isEmpty(): boolean {
    return this.inForce.size === 0;
  }

  /** The profile of a device; undefined when it has none that is in force, "unknown" while its record is being read. */
  of(tenant: string, device: string): Profile | "unknown" | undefined {
    if (this.isEmpty) return undefined;
    const key = `${tenant}\0${device}`;
    let name = this.#names.get(key);
    if (name === undefined) {
      name = this.records.profileOf(tenant, device);
      if (name === undefined) return "unknown";
      if (this.#names.size >= MAX_DEVICES) this.#forgetFirst();
      this.#names.set(key, name);
    }
    return name === "" ? undefined : this.inForce.get(name);
  }

  #changed(tenant: string | undefined, device: string | undefined): void {
    if (tenant === undefined || device === undefined) {
      this.#names.clear();
      this.onMoved();
      return;
    }
    const key = `${tenant}\0${device}`;
    const before = this.#names.get(key);
    // Nobody has asked for it, so no plan was made by its profile.
    if (before === undefined && this.#names.size < MAX_DEVICES) return;
    const now = this.records.profileOf(tenant, device);
    if (now === before) return;
    this.#names.delete(key);
    this.onMoved();
  }

  #forgetFirst(): void {
    for (const first of this.#names.keys()) {
      this.#names.delete(first);
      return;
    }
  }
}
