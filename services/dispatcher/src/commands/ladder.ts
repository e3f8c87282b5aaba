/** The ladder of a command: what each event makes of it. Pure; every command ends in exactly one terminal state. */
import { command as wire } from "@myelin/contract";
import type { Sample, SampleValue } from "@myelin/profile";

const { State } = wire;

/** Why a step was taken. */
export const COMMAND_CAUSES = [
  "cancelled",
  "denied",
  "device_failed",
  "device_rejected",
  "device_timed_out",
  "other_value",
  "outcome_unknown",
  "read_back",
  "ttl",
] as const;

/** Why a step was taken; absent where a step speaks for itself. */
export type CommandCause = (typeof COMMAND_CAUSES)[number];

/** What a device says of an execution. */
export type AnswerStatus = "SUCCEEDED" | "FAILED" | "REJECTED" | "IN_PROGRESS" | "TIMED_OUT";

/** What happens to a command. Times are Unix microseconds. */
export type CommandEvent =
  /** It is about to be given to the device. */
  | { readonly kind: "attempt"; readonly atUs: number }
  /** The attempt that was begun last has certainly not reached the device. */
  | { readonly kind: "returned"; readonly atUs: number; readonly mayHaveRun: boolean }
  /** The device has acknowledged that it has it. */
  | { readonly kind: "delivered"; readonly atUs: number }
  | {
      readonly kind: "answer";
      readonly atUs: number;
      readonly status: AnswerStatus;
      readonly message: string;
    }
  /** A good live sample of the point that is read back. */
  | { readonly kind: "report"; readonly atUs: number; readonly sample: Sample }
  | { readonly kind: "cancel"; readonly atUs: number; readonly message: string }
  /** The safety envelope does not let it through any more. */
  | { readonly kind: "denied"; readonly atUs: number; readonly message: string }
  /** Time has passed; `lastReport` is the newest good sample of the point since it was given to the device. */
  | { readonly kind: "time"; readonly atUs: number; readonly lastReport: Sample | undefined };

/** How long a device may take for its answer, though the time to live of the command may end before. */
export const ANSWER_WITHIN_US = 10_000_000;

/** Where it stands. */
export function stateOf({ steps }: Pick<wire.Command, "steps">): wire.State {
  return steps.at(-1)?.state ?? State.UNSPECIFIED;
}

/** Nothing more will happen to it. */
export function isTerminal(command: Pick<wire.Command, "steps" | "verify">): boolean {
  const state = stateOf(command);
  return state > State.EXECUTED || (state === State.EXECUTED && command.verify === undefined);
}

/** It is certain that the device does not have it. */
export function isUntouched(command: wire.Command): boolean {
  return stateOf(command) < State.DELIVERED && !command.mayHaveRun;
}

/** When time alone ends it; undefined when it has ended. */
export function dueUs(command: wire.Command): number | undefined {
  if (isTerminal(command)) return undefined;
  const { expiresAtUs, attemptedAtUs, executedAtUs, verify } = command;
  if (stateOf(command) === State.EXECUTED) return executedAtUs + verify!.withinMs * 1_000;
  if (isUntouched(command)) return expiresAtUs;
  return Math.max(expiresAtUs, attemptedAtUs + ANSWER_WITHIN_US);
}

/** What an event makes of a command; undefined: nothing. Does not change the command. */
export function progressOf(command: wire.Command, event: CommandEvent): wire.Progress | undefined {
  if (isTerminal(command)) return undefined;
  const state = stateOf(command);
  const to = (...steps: readonly Made[]): wire.Progress => progress(command, event.atUs, steps);
  switch (event.kind) {
    case "attempt": {
      if (state > State.ROUTED) return undefined;
      const made = to(...(state < State.ROUTED ? [step(State.ROUTED)] : []));
      return { ...made, attempts: command.attempts + 1, mayHaveRun: true, attemptedAtUs: event.atUs };
    }
    case "returned":
      if (state !== State.ROUTED || !command.mayHaveRun) return undefined;
      return { ...to(), mayHaveRun: event.mayHaveRun };
    case "delivered":
      if (state !== State.ROUTED || command.attempts === 0) return undefined;
      return { ...to(step(State.DELIVERED)), mayHaveRun: true };
    case "answer":
      // Somebody has made it up: the command was never given to the device.
      return command.attempts === 0 ? undefined : answered(command, event, to);
    case "report":
      return reported(command, event.sample, to);
    case "cancel":
      return isUntouched(command) ? to(step(State.REJECTED, "cancelled", event.message)) : undefined;
    case "denied":
      return isUntouched(command) ? to(step(State.REJECTED, "denied", event.message)) : undefined;
    case "time": {
      const due = dueUs(command);
      return due !== undefined && event.atUs >= due ? ended(command, event.lastReport, to) : undefined;
    }
  }
}

/** Puts into a command what was made of it. */
export function applyProgress(command: wire.Command, made: Omit<wire.Progress, "id">): void {
  command.steps.push(...made.steps);
  command.attempts = made.attempts;
  command.mayHaveRun = made.mayHaveRun;
  command.attemptedAtUs = made.attemptedAtUs;
  command.executedAtUs = made.executedAtUs;
}

type Made = Pick<wire.Step, "state" | "cause" | "message">;
type To = (...steps: readonly Made[]) => wire.Progress;

function step(state: wire.State, cause: CommandCause | "" = "", message = ""): Made {
  return { state, cause, message };
}

function progress(command: wire.Command, nowUs: number, made: readonly Made[]): wire.Progress {
  const { id, attempts, mayHaveRun, attemptedAtUs, executedAtUs } = command;
  // The machine's clock may be set back: the steps of a command stay in order all the same.
  const atUs = Math.max(nowUs, command.steps.at(-1)?.atUs ?? 0);
  return {
    id,
    attempts,
    mayHaveRun,
    attemptedAtUs,
    executedAtUs,
    steps: made.map((one) => ({ ...one, atUs })),
  };
}

function answered(
  command: wire.Command,
  { status, message, atUs }: Extract<CommandEvent, { kind: "answer" }>,
  to: To,
): wire.Progress | undefined {
  const state = stateOf(command);
  if (state >= State.EXECUTED) return undefined;
  const had = state < State.DELIVERED ? [step(State.DELIVERED)] : [];
  switch (status) {
    case "IN_PROGRESS":
      return had.length === 0 ? undefined : { ...to(...had), mayHaveRun: true };
    case "SUCCEEDED":
      return { ...to(...had, step(State.EXECUTED, "", message)), mayHaveRun: true, executedAtUs: atUs };
    case "REJECTED":
      return { ...to(...had, step(State.REJECTED, "device_rejected", message)), mayHaveRun: false };
    case "FAILED":
      return { ...to(...had, step(State.FAILED, "device_failed", message)), mayHaveRun: true };
    case "TIMED_OUT":
      return { ...to(...had, step(State.FAILED, "device_timed_out", message)), mayHaveRun: true };
  }
}

function reported(command: wire.Command, sample: Sample, to: To): wire.Progress | undefined {
  const { verify, executedAtUs } = command;
  if (verify === undefined || stateOf(command) !== State.EXECUTED) return undefined;
  if (sample.point !== verify.point || sample.quality !== "good") return undefined;
  if (sample.timeUs < executedAtUs + verify.settleMs * 1_000) return undefined;
  if (sample.timeUs > executedAtUs + verify.withinMs * 1_000) return undefined;
  if (isExpected(verify, sample.value)) return to(step(State.VERIFIED));
  return to(step(State.MISMATCH, "other_value", `${verify.point} is ${String(sample.value)}`));
}

function ended(command: wire.Command, lastReport: Sample | undefined, to: To): wire.Progress {
  const { verify } = command;
  const state = stateOf(command);
  if (isUntouched(command)) return to(step(State.EXPIRED, "ttl"));
  if (state === State.EXECUTED)
    return to(step(State.FAILED, "outcome_unknown", `no good report of ${verify!.point} came in time`));
  const isRead =
    verify !== undefined &&
    lastReport?.point === verify.point &&
    lastReport.quality === "good" &&
    lastReport.timeUs >= command.attemptedAtUs &&
    isExpected(verify, lastReport.value);
  if (!isRead) return to(step(State.FAILED, "outcome_unknown", "the device has not answered"));
  const had = state < State.DELIVERED ? [step(State.DELIVERED, "read_back")] : [];
  return to(...had, step(State.EXECUTED, "read_back"), step(State.VERIFIED, "read_back"));
}

function isExpected({ expected, tolerance }: wire.Verify, value: SampleValue | null): boolean {
  if (expected === undefined) return false;
  if (expected.$case !== "number" || typeof value !== "number") return expected.value === value;
  return Math.abs(value - expected.value) <= tolerance;
}
