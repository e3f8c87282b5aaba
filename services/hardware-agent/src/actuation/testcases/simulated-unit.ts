/** A unit that counts what is written to it, and can be made to fail in the ways that units do. */
import { AppError, type Clock } from "@myelin/kernel";
import type { Profile, SafetyInput, Sample, SampleValue } from "@myelin/profile";
import type { WriteOutcome } from "../../drivers/adapter.js";
import type { ActuatedDevice, WritePriority } from "../actuated-device.js";

/** What becomes of a write: done and told, done without an answer, lost without an answer, refused, or taken and ignored. */
export type Behaviour = "good" | "silent" | "lost" | "refused" | "ignored";

export class SimulatedUnit {
  readonly values = new Map<string, SampleValue>();
  readonly written: { point: string; value: SampleValue; priority: WritePriority }[] = [];
  readonly lives = new Map<string, SafetyInput>();
  behaviour: Behaviour = "good";
  isReadable = true;
  isReadOnly = false;
  /** Called around every conversation; one that never resolves is a process that has died. */
  step: () => Promise<void> = async () => {};

  constructor(
    readonly id: string,
    readonly profile: Profile,
    readonly clock: Clock,
  ) {}

  /** As a process sees it. */
  get device(): ActuatedDevice {
    const { step } = this;
    return {
      id: this.id,
      profile: this.profile,
      isReadOnly: this.isReadOnly,
      latest: (point) => this.lives.get(point),
      write: async (point, value, priority, signal) => {
        await step();
        const outcome = signal.aborted ? ("not_written" as const) : this.#write(point, value, priority);
        await step();
        const error = new AppError("operation.timeout", "no reply");
        return outcome === "written" ? { outcome } : { outcome, error };
      },
      read: async (point) => {
        await step();
        return this.isReadable ? this.#sample(point) : undefined;
      },
    };
  }

  #write(point: string, value: SampleValue, priority: WritePriority): WriteOutcome["outcome"] {
    const { behaviour } = this;
    if (behaviour === "refused") return "not_written";
    this.written.push({ point, value, priority });
    if (behaviour === "good" || behaviour === "silent") this.values.set(point, value);
    return behaviour === "silent" || behaviour === "lost" ? "unknown" : "written";
  }

  #sample(point: string): Sample {
    const value = this.values.get(point) ?? 0;
    return { point, value, quality: "good", timeUs: this.clock.wallUs() };
  }
}
