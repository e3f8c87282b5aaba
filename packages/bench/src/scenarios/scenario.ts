/** What a scenario is given and what it gives back. */
import type { Driver } from "../driver/driver.js";
import type { Case } from "../measure/rounds.js";
import type { GoalSpec } from "../report/goals.js";
import type { Protocol, System } from "../systems/system.js";

/** Chosen on the command line; the same for all systems of a run. */
export interface BenchSettings {
  readonly connections: number;
  readonly payloadBytes: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** The driver's subscriber looks once per millisecond instead of as soon as there is something. */
  readonly gather: boolean;
  /** Undefined leaves the number to the scenario. */
  readonly rounds: number | undefined;
}

/** `systems` are those chosen that can be started here and speak one of the scenario's protocols. */
export interface ScenarioContext {
  readonly driver: Driver;
  readonly systems: readonly System[];
  readonly settings: BenchSettings;
}

/** One folder and one registry line. */
export interface Scenario {
  /** Equals its folder and its key in the registry. */
  readonly name: string;
  /** One line for the help and above the table. */
  readonly summary: string;
  readonly protocols: readonly Protocol[];
  readonly rounds: number;
  /** Figures that are shown in the table, in order, with their heading. */
  readonly columns: Readonly<Record<string, string>>;
  /** Figures for which ratios to the peers make sense, with the peer's figure where its name differs. */
  readonly compared: Readonly<Record<string, string>>;
  readonly goals: readonly GoalSpec[];
  /** What to measure, in the order of one round; touches nothing yet. */
  cases(context: ScenarioContext): Case[];
}

/** Name of the system the goals are about. */
export const SUBJECT = "myelin";
