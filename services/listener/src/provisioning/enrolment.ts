/** Lets a device in that has shown what its profile trusts, and makes it in the registry where it is not there yet. */
import type { DeviceRecord, DeviceRegistryClient } from "@myelin/bus";
import { AppError, type Clock, fillBucket, type TokenBucketState, takeTokens } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { ConnectVerdict, Credentials } from "../core/admission.js";
import type { ProvisioningProfile } from "./trusted.js";

/** What an enrolment stands on. */
export interface EnrolmentOptions {
  readonly registry: Pick<DeviceRegistryClient, "get" | "apply" | "count">;
  readonly clock: Clock;
  readonly log: Logger;
}

const NO: ConnectVerdict = { allow: false, code: "auth.not_authorized" };
const LATER: ConnectVerdict = { allow: false, code: "limit.rate" };
const COUNTED_FOR_MS = 5_000;

interface Pace extends TokenBucketState {
  perMinute: number;
  counted: number;
  countedAtMs: number;
}

/** One per listener. The owner of the device decides who was first, so nothing is made twice. */
export class Enrolment {
  /** By profile. */
  readonly #paces = new Map<string, Pace>();

  constructor(private readonly options: EnrolmentOptions) {}

  /** Never rejects: trouble is a refusal. */
  async admit(profile: ProvisioningProfile, deviceId: string, who: Credentials): Promise<ConnectVerdict> {
    const { name, spec } = profile;
    if (!fits(spec.ids, deviceId)) return NO;
    try {
      const known = await this.#find(spec.tenant, deviceId);
      if (known !== undefined) return this.#known(profile, known);
      if (!(await this.#isRoom(profile))) return LATER;
      return await this.#make(profile, deviceId, who);
    } catch (thrown) {
      const { code, message } = AppError.from(thrown);
      if (code === "device.invalid" || code === "auth.not_authorized") {
        this.options.log.info({ deviceId, profile: name, problem: message }, "a device may not enrol itself");
        return NO;
      }
      return { allow: false, code };
    }
  }

  async #make(profile: ProvisioningProfile, deviceId: string, who: Credentials): Promise<ConnectVerdict> {
    const { registry, log } = this.options;
    const { name, spec } = profile;
    const { tenant, tags, groups } = spec;
    try {
      const device = { tenant, id: deviceId, profile: name, tags, groups };
      await registry.apply({ device, expected: 0, firstContact: true });
    } catch (thrown) {
      if (!AppError.is(thrown) || thrown.code !== "device.exists") throw thrown;
      // Another connection of it, or an operator, was first.
      const known = await this.#find(tenant, deviceId);
      return known === undefined ? LATER : this.#known(profile, known);
    }
    const pace = this.#paces.get(name);
    if (pace !== undefined) pace.counted += 1;
    const { protocol, port, address } = who;
    const by = who.password === undefined ? "authority" : "token";
    log.info(
      { deviceId, tenant, profile: name, by, protocol, port, address },
      "a device has enrolled itself",
    );
    return this.#allowed(profile, deviceId);
  }

  #known(profile: ProvisioningProfile, known: DeviceRecord): ConnectVerdict {
    return known.enabled && known.profile === profile.name ? this.#allowed(profile, known.id) : NO;
  }

  #allowed({ name, spec }: ProvisioningProfile, deviceId: string): ConnectVerdict {
    return { allow: true, identity: { tenant: spec.tenant, deviceId, user: `profile:${name}` } };
  }

  async #find(tenant: string, id: string): Promise<DeviceRecord | undefined> {
    try {
      return await this.options.registry.get(tenant, id);
    } catch (thrown) {
      if (AppError.is(thrown) && thrown.code === "device.unknown") return undefined;
      throw thrown;
    }
  }

  /** Takes one of what the profile may have. */
  async #isRoom({ name, spec }: ProvisioningProfile): Promise<boolean> {
    const { registry, clock, log } = this.options;
    const { perMinute, maxDevices, tenant } = spec;
    const limit = { perSecond: perMinute / 60, burst: perMinute };
    let pace = this.#paces.get(name);
    if (pace === undefined || pace.perMinute !== perMinute) {
      pace = { perMinute, bucketTokens: 0, bucketMs: 0, counted: 0, countedAtMs: Number.NEGATIVE_INFINITY };
      fillBucket(pace, limit, clock.nowMs());
      this.#paces.set(name, pace);
    }
    if (!takeTokens(pace, limit, clock.nowMs(), 1)) return false;
    if (clock.nowMs() - pace.countedAtMs > COUNTED_FOR_MS) {
      pace.countedAtMs = clock.nowMs();
      pace.counted = await registry.count(tenant, name);
      if (pace.counted >= maxDevices)
        log.warn(
          { profile: name, devices: pace.counted, maxDevices },
          "a profile has as many devices as it may",
        );
    }
    return pace.counted < maxDevices;
  }

  /** Profiles that are gone are forgotten. */
  keep(names: ReadonlySet<string>): void {
    for (const name of this.#paces.keys()) if (!names.has(name)) this.#paces.delete(name);
  }
}

/** `*` and `?` as in file names. */
function fits(pattern: string, text: string): boolean {
  if (pattern === "*") return text !== "";
  // Greedy, with one place to come back to, so that no pattern takes long.
  let at = 0;
  let star = -1;
  let back = 0;
  for (let i = 0; i < text.length; ) {
    if (at < pattern.length && (pattern[at] === "?" || pattern[at] === text[i]) && pattern[at] !== "*") {
      at += 1;
      i += 1;
    } else if (pattern[at] === "*") {
      star = at;
      at += 1;
      back = i;
    } else if (star >= 0) {
      at = star + 1;
      back += 1;
      i = back;
    } else return false;
  }
  while (pattern[at] === "*") at += 1;
  return at === pattern.length;
}
