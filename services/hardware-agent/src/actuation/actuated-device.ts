/** A device as actuation sees it. */
import type { Profile, SafetyInputs, Sample, SampleValue } from "@myelin/profile";
import type { WriteOutcome } from "../drivers/adapter.js";

/** Who goes first on the line. */
export type WritePriority = "stop" | "command";

/** Whoever knows driver, addresses and scaling implements it; values are in the points' units. */
export interface ActuatedDevice {
  readonly id: string;
  readonly profile: Profile;
  /** Nothing is ever written to it. */
  readonly isReadOnly: boolean;
  /** The latest live samples, for interlocks. */
  readonly latest: SafetyInputs;
  /** Writes one point. Never rejects; an aborted wait is `not_written`, an aborted conversation `unknown`. */
  write(
    point: string,
    value: SampleValue,
    priority: WritePriority,
    signal: AbortSignal,
  ): Promise<WriteOutcome>;
  /** Reads one point from the unit now; undefined or of bad quality when it could not. Never rejects, also when the signal aborts. */
  read(point: string, priority: WritePriority, signal: AbortSignal): Promise<Sample | undefined>;
}
