/** What every kind of action of a rule must do. */
import type { Bus } from "@myelin/bus";
import type { RuleActionSpec, Severity } from "@myelin/config";
import type { Clock } from "@myelin/kernel";
import type { Value } from "@myelin/rules";
import type { DevicePublisher } from "../devices/module.js";
import type { Sinks } from "../history/sinks.js";

/** A firing as actions see it. */
export interface FiredRule {
  /** The same whenever it is done again, after a restart too; different for every firing. */
  readonly id: string;
  readonly rule: string;
  readonly description: string;
  readonly severity: Severity;
  readonly tenant: string;
  readonly device: string;
  readonly state: "raised" | "cleared" | "fired";
  readonly atMs: number;
  readonly values: Readonly<Record<string, Value>>;
  readonly topic: string;
  /** It stems from what was kept during an outage. */
  readonly isReplayed: boolean;
  /** Rules whose actions have led to it, this one last. */
  readonly causes: readonly string[];
}

/** What an alarm is raised with. */
export interface RaisedAlarm {
  readonly key: string;
  readonly message: string;
}

/** Everything outside that an action may use. */
export interface ActionContext {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly partitions: number;
  readonly publisher: DevicePublisher;
  readonly sinks: Sinks;
  /** Raises an alarm of the firing's device, or counts it once more. Stored with the firing. */
  readonly raise: (fired: FiredRule, alarm: RaisedAlarm) => void;
}

/** One action of one rule. */
export interface Action {
  /**
   * Does it, once per firing unless a process died in between. Tried again as long as the error is retryable, a few times.
   * @throws AppError
   */
  run(fired: FiredRule, signal: AbortSignal): Promise<void> | void;
}

/** A kind of action. `Spec` is what stands under its key in a rule. */
export interface ActionPlugin<Spec = unknown> {
  /** Key in the registry and in a rule's action. */
  readonly kind: keyof RuleActionSpec;
  /** Done at once and in the order of the firings; others wait for their turn. Must return nothing. */
  readonly isImmediate?: true;
  /** Reaches into the world: never done for what was kept during an outage. */
  readonly isControl?: true;
  /** Does no I/O. */
  create(spec: Spec, context: ActionContext): Action;
}

/** The registry's shape: key = folder = kind; imported on first use. */
export type ActionRegistry = Readonly<
  Record<string, () => Promise<{ readonly plugin: ActionPlugin<never> }>>
>;
