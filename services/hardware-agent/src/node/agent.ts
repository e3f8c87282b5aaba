/** Puts the buses and devices of one node in force, and tells how they stand. */
import {
  type BusSpec,
  type DeviceProfileSpec,
  type DeviceSpec,
  generationOf,
  type Resource,
  resourcesOf,
  type Snapshot,
} from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { Profile } from "@myelin/profile";
import { checkDevice, linkKindOf } from "../polling/check-device.js";
import type { SampleSink } from "../polling/poller.js";
import type { CheckedDevice, Unit } from "../polling/unit.js";
import { Line } from "./line.js";

/** What is known of a device besides how it does. */
export interface DeviceStanding {
  readonly name: string;
  /** Of the resource that this is said of. */
  readonly generation: number;
  /** Why the resource is not in force. */
  readonly error: AppError | undefined;
  /** What is polled: of the resource, or of its last good version; undefined: nothing. */
  readonly unit: Unit | undefined;
  readonly line: Line | undefined;
}

interface Options {
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sink: SampleSink;
  /** Devices that are driven from now on; told after each change. */
  readonly onDevices: (devices: readonly CheckedDevice[]) => Promise<void>;
}

/** One per process. */
export class Agent {
  readonly #options: Options;
  readonly #lines = new Map<string, Line>();
  #standings: readonly DeviceStanding[] = [];
  readonly #busErrors = new Map<string, AppError>();
  readonly #good = new Map<string, CheckedDevice>();
  readonly #profiles = new Map<string, { readonly generation: number; readonly profile: Profile }>();

  constructor(options: Options) {
    this.#options = options;
  }

  /** The lines that are open or being opened, by the names of their Bus. */
  get lines(): ReadonlyMap<string, Line> {
    return this.#lines;
  }

  get standings(): readonly DeviceStanding[] {
    return this.#standings;
  }

  /** Why a Bus is not in force, by name. */
  get busErrors(): ReadonlyMap<string, AppError> {
    return this.#busErrors;
  }

  /** Puts these resources in force: what has not changed goes on undisturbed. One at a time. */
  async apply(snapshot: Snapshot): Promise<void> {
    const { node, onDevices } = this.#options;
    this.#applyProfiles(resourcesOf(snapshot, "DeviceProfile"));
    const buses = ofNode<BusSpec>(resourcesOf(snapshot, "Bus"), node);
    await this.#applyBuses(buses);
    const around = {
      bus: (name: string) => buses.get(name),
      profile: (name: string) => this.#profiles.get(name)?.profile,
    };
    const standings: { name: string; generation: number; error: AppError | undefined }[] = [];
    const devices = ofNode<DeviceSpec>(resourcesOf(snapshot, "Device"), node);
    for (const name of this.#good.keys()) if (!devices.has(name)) this.#good.delete(name);
    for (const [name, spec] of devices) {
      let error: AppError | undefined;
      try {
        this.#good.set(name, await checkDevice(name, spec, around));
      } catch (thrown) {
        error = AppError.from(thrown);
        if (this.#good.get(name) !== undefined && !this.#lines.has(this.#good.get(name)?.spec.bus as string))
          this.#good.delete(name);
        this.#options.log.warn({ device: name, err: error }, "a device was refused");
      }
      standings.push({ name, generation: generationOf(spec), error });
    }
    const driven = [...this.#good.values()];
    for (const [name, line] of this.#lines)
      await line.apply(driven.filter(({ spec }) => spec.bus === name && spec.mode !== "off"));
    this.#standings = standings.map((standing) => {
      const line = this.#lines.get(this.#good.get(standing.name)?.spec.bus ?? "");
      return { ...standing, line, unit: line?.unit(standing.name) };
    });
    await onDevices(driven);
  }

  /** Which of these could not be put in force; changes nothing. */
  async check(
    resources: readonly Resource[],
  ): Promise<readonly { readonly kind: string; readonly name: string; readonly error: AppError }[]> {
    const { node } = this.#options;
    const buses = new Map([...this.#lines].map(([name, { bus }]) => [name, bus]));
    const profiles = new Map([...this.#profiles].map(([name, { profile }]) => [name, profile]));
    for (const { kind, metadata, spec } of resources) {
      if (kind === "Bus" && (spec as BusSpec).node === node) buses.set(metadata.name, spec as BusSpec);
      if (kind === "DeviceProfile") {
        const profile = tryProfile(metadata.name, spec as DeviceProfileSpec);
        if (profile !== undefined) profiles.set(metadata.name, profile);
      }
    }
    const around = {
      bus: (name: string) => buses.get(name),
      profile: (name: string) => profiles.get(name),
    };
    const refusals: { kind: string; name: string; error: AppError }[] = [];
    for (const { kind, metadata, spec } of resources) {
      if (kind !== "Device" || (spec as DeviceSpec).node !== node) continue;
      try {
        await checkDevice(metadata.name, spec as DeviceSpec, around);
      } catch (thrown) {
        refusals.push({ kind, name: metadata.name, error: AppError.from(thrown) });
      }
    }
    return refusals;
  }

  /** Gives all lines up. */
  async stop(): Promise<void> {
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    await Promise.all(lines.map((line) => line.stop()));
  }

  #applyProfiles(resources: readonly Resource<"DeviceProfile">[]): void {
    const names = new Set(resources.map(({ metadata }) => metadata.name));
    for (const name of this.#profiles.keys()) if (!names.has(name)) this.#profiles.delete(name);
    for (const { metadata, spec } of resources) {
      const generation = generationOf(spec);
      if (this.#profiles.get(metadata.name)?.generation === generation) continue;
      // One that cannot be compiled leaves the version before in force; the dispatchers tell of it.
      const profile = tryProfile(metadata.name, spec as DeviceProfileSpec);
      if (profile !== undefined) this.#profiles.set(metadata.name, { generation, profile });
    }
  }

  async #applyBuses(buses: ReadonlyMap<string, BusSpec>): Promise<void> {
    const { clock, log, sink } = this.#options;
    this.#busErrors.clear();
    const takenBy = new Map<string, string>();
    for (const [name, line] of [...this.#lines]) {
      const bus = buses.get(name);
      if (bus !== undefined && generationOf(bus) === line.generation) continue;
      this.#lines.delete(name);
      await line.stop();
    }
    for (const [name, bus] of buses) {
      const place = bus.link.serial?.path ?? bus.link.gpio?.chip;
      const other = place === undefined ? undefined : takenBy.get(place);
      if (place !== undefined) takenBy.set(place, other ?? name);
      if (other !== undefined) {
        const text = `spec.link: ${place} must be another than that of the Bus ${other}`;
        this.#busErrors.set(name, new AppError("hardware.unfit", text));
        continue;
      }
      if (this.#lines.has(name)) continue;
      try {
        this.#lines.set(name, await Line.open(name, bus, { clock, log, sink }));
      } catch (thrown) {
        const error = AppError.from(thrown);
        this.#busErrors.set(name, error);
        log.warn({ bus: name, link: linkKindOf(bus), err: error }, "a line was refused");
      }
    }
  }
}

function ofNode<Spec extends { readonly node: string }>(
  resources: readonly Resource[],
  node: string,
): ReadonlyMap<string, Spec> {
  const own = resources.filter(({ spec }) => (spec as Spec).node === node);
  return new Map(own.map(({ metadata, spec }) => [metadata.name, spec as Spec]));
}

function tryProfile(name: string, spec: DeviceProfileSpec): Profile | undefined {
  try {
    return new Profile(name, spec);
  } catch (thrown) {
    if (AppError.is(thrown)) return undefined;
    throw thrown;
  }
}
