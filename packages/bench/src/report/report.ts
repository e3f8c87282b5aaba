/** The result of a scenario: one JSON object, or a table for people. */
import Table from "cli-table3";
import pc from "picocolors";
import type { SystemResult } from "../measure/rounds.js";
import type { Scenario } from "../scenarios/scenario.js";
import type { Goal, Ratios } from "./goals.js";
import type { Machine } from "./machine.js";

/** What `--json` prints for one scenario. Names of figures end in their unit; a missing one was not measured. */
export interface Report {
  readonly scenario: string;
  readonly machine: Machine;
  readonly settings: Readonly<Record<string, number | boolean>>;
  readonly systems: readonly SystemResult[];
  readonly ratios: Ratios;
  readonly goals: readonly Goal[];
}

const number = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 4 });

/** Table of the systems, then the goals, then what could not be measured and why. */
export function formatReport(scenario: Scenario, report: Report): string {
  const measured = report.systems.filter((system) => Object.keys(system.figures).length > 0);
  const used = Object.entries(scenario.columns).filter(([figure]) =>
    measured.some((system) => system.figures[figure] !== undefined),
  );
  const table = new Table({
    head: ["system", "version", ...used.map(([, heading]) => heading)],
    colAligns: ["left", "left", ...used.map(() => "right" as const)],
    style: { head: [], border: [] },
  });
  for (const system of measured) {
    table.push([system.name, system.version, ...used.map(([figure]) => cell(system, figure))]);
  }
  const lines = [pc.bold(scenario.name), scenario.summary, table.toString(), ...goalLines(report.goals)];
  for (const { name, missing, errors = [] } of report.systems) {
    if (missing !== undefined) lines.push(`${name} was not measured: ${missing}`);
    lines.push(...errors.map((error) => `failed: ${error}`));
  }
  return `${lines.join("\n")}\n`;
}

function cell(system: SystemResult, figure: string): string {
  const value = system.figures[figure];
  if (value === undefined) return "";
  const [least, greatest] = system.spread[figure] ?? [value, value];
  const half = value === 0 ? 0 : Math.max(greatest - value, value - least) / Math.abs(value);
  return half < 0.005 ? number.format(value) : `${number.format(value)} ±${Math.round(half * 100)}%`;
}

function goalLines(goals: readonly Goal[]): string[] {
  return goals
    .filter((goal) => goal.value !== null)
    .map(({ what, goal, value, reached }) => {
      const mark = reached ? pc.green("reached") : pc.red("not reached");
      return `${mark}  ${number.format(value ?? 0)} (goal ${goal})  ${what}`;
    });
}
