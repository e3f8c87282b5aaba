/** One scenario from start to report. */
import { AppError } from "@myelin/kernel";
import type { Driver } from "./driver/driver.js";
import { runRounds, type SystemResult } from "./measure/rounds.js";
import { judge, lookupIn, ratiosOf } from "./report/goals.js";
import { describeMachine } from "./report/machine.js";
import type { Report } from "./report/report.js";
import { type BenchSettings, type Scenario, SUBJECT } from "./scenarios/scenario.js";
import type { System } from "./systems/system.js";

/** `systems` are those wanted; which of them are measured the scenario and the machine decide. */
export interface ScenarioRun {
  readonly scenario: Scenario;
  readonly systems: readonly System[];
  readonly driver: Driver;
  readonly settings: BenchSettings;
  readonly install: boolean;
  progress(line: string): void;
}

/** Systems that cannot be measured are in the report with the reason; nothing is ever made up for them. */
export async function runScenario(run: ScenarioRun): Promise<Report> {
  const { scenario, settings, progress } = run;
  const fitting = run.systems.filter((system) =>
    scenario.protocols.some((protocol) => system.protocols.includes(protocol)),
  );
  const present: System[] = [];
  const results = new Map<string, SystemResult>();
  for (const system of fitting) {
    const missing = await whyMissing(system, run);
    if (missing === undefined) present.push(system);
    else {
      progress(`${system.name} is left out: ${missing}`);
      results.set(system.name, {
        name: system.name,
        version: "unknown",
        figures: {},
        spread: {},
        rounds: 0,
        missing,
      });
    }
  }
  const rounds = settings.rounds ?? scenario.rounds;
  const cases = scenario.cases({ driver: run.driver, systems: present, settings });
  for (const result of await runRounds(cases, rounds, progress)) results.set(result.name, result);
  const systems = fitting.flatMap((system) => results.get(system.name) ?? []);
  return {
    scenario: scenario.name,
    machine: describeMachine(new Date()),
    settings: { ...settings, rounds },
    systems,
    ratios: ratiosOf(systems, SUBJECT, scenario.compared),
    goals: judge(scenario.goals, lookupIn(systems)),
  };
}

async function whyMissing(system: System, run: ScenarioRun): Promise<string | undefined> {
  let lack = await system.lack();
  if (lack !== undefined && run.install && system.install !== undefined) {
    run.progress(`installing ${system.name}: ${lack.what}`);
    try {
      await system.install();
    } catch (error) {
      return `${lack.what}, and installing it failed: ${AppError.from(error).message}`;
    }
    lack = await system.lack();
  }
  return lack === undefined ? undefined : `${lack.what} (${lack.remedy})`;
}
