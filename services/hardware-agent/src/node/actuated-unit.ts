/** A unit on a line as actuation sees it: values in the points' units, addresses and scaling behind. */
import { AppError, type Clock } from "@myelin/kernel";
import {
  BlockEncoder,
  ColumnJudge,
  decodeSampleBlock,
  type Profile,
  type SafetyInput,
  type Sample,
  SampleColumns,
  type SampleValue,
} from "@myelin/profile";
import type { ActuatedDevice, WritePriority } from "../actuation/actuated-device.js";
import { ReadingBuffer } from "../core/readings.js";
import type { WriteOutcome } from "../drivers/adapter.js";
import type { Unit } from "../polling/unit.js";

const ONE = Uint32Array.of(0);

/** Made once per version of a device. */
export class ActuatedUnit implements ActuatedDevice {
  readonly id: string;
  readonly profile: Profile;
  readonly isReadOnly: boolean;

  constructor(
    readonly unit: Unit,
    private readonly clock: Pick<Clock, "nowMs">,
  ) {
    const { id, profile, spec } = unit.device;
    this.id = id;
    this.profile = profile;
    this.isReadOnly = spec.mode !== "active";
  }

  readonly latest = (point: string): SafetyInput | undefined => {
    const { device, encoder, samples } = this.unit;
    const number = device.names.indexOf(point);
    if (number < 0) return undefined;
    const [sample] = decodeSampleBlock(encoder.encode(samples, Uint32Array.of(number), 0)) ?? [];
    return sample === undefined ? undefined : { sample, replayed: false };
  };

  async write(
    point: string,
    value: SampleValue,
    priority: WritePriority,
    signal: AbortSignal,
  ): Promise<WriteOutcome> {
    const { device, adapter, filter, all } = this.unit;
    const planned = device.points[device.names.indexOf(point)];
    if (planned === undefined) {
      const error = new AppError("hardware.refused", `${this.id} has no address for the point ${point}`);
      return { outcome: "not_written", error };
    }
    if (typeof value === "object") {
      const error = new AppError("hardware.refused", `${point} is given one value, not a list`);
      return { outcome: "not_written", error };
    }
    const { scale = 1, add = 0, type } = planned.spec;
    let raw = value;
    if (typeof value === "number") {
      raw = (value - add) / scale;
      // Of what was multiplied with a fraction a whole number is meant again.
      if (type === "integer" || Math.abs(raw - Math.round(raw)) < 1e-9) raw = Math.round(raw);
    }
    const outcome = await adapter.sendCommand({ address: planned.address, value: raw, priority }, signal);
    // The hub waits for what is measured from now on, also where it is what it was.
    filter.forget(all);
    return outcome;
  }

  async read(point: string, priority: WritePriority, signal: AbortSignal): Promise<Sample | undefined> {
    const { device, adapter } = this.unit;
    const planned = device.points[device.names.indexOf(point)];
    if (planned === undefined) return undefined;
    const [read] = device.driver.plan(device.unit, [{ ...planned, number: 0 }], device.settings);
    if (read === undefined) return undefined;
    const beganMs = this.clock.nowMs();
    const buffer = new ReadingBuffer(1);
    try {
      await adapter.readSensor(read, buffer, priority, signal);
    } catch {
      // Called off.
      return undefined;
    }
    const samples = new SampleColumns(1);
    new ColumnJudge([planned.spec]).judge(buffer, ONE, samples);
    const latencyUs = (this.clock.nowMs() - beganMs) * 1_000;
    return decodeSampleBlock(new BlockEncoder([point]).encode(samples, ONE, latencyUs))?.[0];
  }
}
