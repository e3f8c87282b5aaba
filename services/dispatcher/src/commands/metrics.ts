/** Every metric of commands; the list is the reference page's source. */
import { enumNames, command as wire } from "@myelin/contract";
import { defineMetrics, type MetricsRegistry } from "@myelin/observability";
import type { DenialReason } from "@myelin/profile";
import { COMMAND_CAUSES } from "./ladder.js";

const { State } = wire;
const states = enumNames(State);
const STEPS = ["routed", "delivered", "executed", "verified"] as const;
const ENDS = ["executed", "verified", "rejected", "expired", "failed", "mismatch"] as const;
/** From a device that answers at once to one that sleeps. */
const BUCKETS_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600];

/** Why the safety envelope has said no; the compiler sees that none is missing. */
const REASONS = {
  clock_went_back: true,
  input_missing: true,
  input_not_good: true,
  input_replayed: true,
  input_stale: true,
  interlock: true,
  interlock_failed: true,
  not_a_number: true,
  out_of_range: true,
  replayed: true,
  too_fast: true,
  too_soon: true,
  unsupported: true,
  when: true,
  who: true,
} satisfies Record<Denial, true>;

/** A word of the profile, or that the profile has no such command any more. */
export type Denial = DenialReason | "unsupported";

/** What the dispatcher shows of commands. */
export const commandMetricsList = defineMetrics({
  ended: {
    type: "counter",
    name: "myelin_dispatcher_commands_ended_total",
    help: "Commands by the state in which they have ended, and why.",
    labels: { state: ENDS, cause: ["none", ...COMMAND_CAUSES] },
  },
  denied: {
    type: "counter",
    name: "myelin_dispatcher_command_safety_denials_total",
    help: "Times that a safety envelope has denied a command: when it was asked for, or when it was to be given to the device.",
    labels: { reason: Object.keys(REASONS) as Denial[] },
  },
  steps: {
    type: "histogram",
    name: "myelin_dispatcher_command_step_seconds",
    help: "Time from the acceptance of a command to each step.",
    labels: { state: STEPS },
    buckets: BUCKETS_SECONDS,
  },
  open: {
    type: "gauge",
    name: "myelin_dispatcher_commands_open",
    help: "Commands that have not ended, in the owned partitions.",
  },
  waiting: {
    type: "gauge",
    name: "myelin_dispatcher_commands_waiting",
    help: "Of the open ones, those that wait for their devices: it is certain that the device does not have them.",
  },
});

/** What is told as it happens. */
export interface CommandMeters {
  /** A step of a command that was accepted `seconds` before. */
  step(state: wire.State, seconds: number): void;
  ended(state: wire.State, cause: string): void;
  denied(reason: Denial): void;
}

/** Nobody reads metrics. */
export const NO_METERS: CommandMeters = {
  step: () => undefined,
  ended: () => undefined,
  denied: () => undefined,
};

/** Registers the list. @param standing what there is at the moment a page is read */
export function createCommandMeters(
  registry: MetricsRegistry,
  standing: () => { readonly open: number; readonly waiting: number },
): CommandMeters {
  const page = registry.register(commandMetricsList);
  page.open.onCollect(() => {
    const { open, waiting } = standing();
    page.open.with().set(open);
    page.waiting.with().set(waiting);
  });
  const cells = new Map(STEPS.map((state) => [states.toWire(state), page.steps.with({ state })]));
  return {
    step: (state, seconds) => cells.get(state)?.observe(seconds),
    ended: (state, cause) => {
      const word = states.fromWire(state) as (typeof ENDS)[number];
      page.ended.with({ state: word, cause: (cause || "none") as "none" }).inc();
    },
    denied: (reason) => page.denied.with({ reason }).inc(),
  };
}
