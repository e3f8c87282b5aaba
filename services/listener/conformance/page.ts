/** The page of the reference that a run of all cases makes. */
import { type Case, idsOf, levelsOf } from "./case.js";
import { MQTT_3 } from "./mqtt-3.table.js";
import { MQTT_5 } from "./mqtt-5.table.js";
import type { Level } from "./packet-client.js";
import type { Statement } from "./statement.js";

/** What became of a case in one version, over all settings. */
export type Outcome = "passed" | "failed" | "not yet" | "not run";

/** Asked for every case and version. */
export type OutcomeOf = (one: Case, level: Level) => Outcome;

const STATEMENTS: readonly (readonly [Level, string, Readonly<Record<string, Statement>>])[] = [
  [4, "MQTT 3.1.1", MQTT_3],
  [5, "MQTT 5", MQTT_5],
];

/** Some statements are covered by every malformed packet there is. */
const SHOWN_TESTS = 6;

interface Covering {
  readonly file: string;
  readonly one: Case;
}

interface Row {
  readonly id: string;
  readonly statement: Statement;
  readonly verdict: "pass" | "fail" | "not yet" | "not applicable";
  readonly covering: readonly Covering[];
}

/** Markdown; the same run makes the same page. */
export function conformancePage(
  cases: Readonly<Record<string, readonly Case[]>>,
  outcomeOf: OutcomeOf,
): string {
  const tables = STATEMENTS.map(([level, name, statements]) => {
    const rows = rowsOf(cases, level, statements, outcomeOf);
    return { name, rows, text: tableOf(level, rows, outcomeOf) };
  });
  return [
    "# MQTT conformance",
    "",
    "<!-- Made by services/listener/conformance/conformance.itest.ts out of what its run has shown. Do not edit. -->",
    "",
    "Every numbered statement of the two standards, in our words, with what the tests say about it. Each test runs over TCP and over WebSocket,",
    "with one listener and with publisher and subscriber on two, against a real NATS and dispatcher; the client's side of the protocol is another library's.",
    "",
    "- **pass**: all tests that cover the statement pass.",
    "- **not yet**: a test that covers it is known to fail, for the reason given; the day it passes, its mark must go.",
    "- **n/a**: no test of this server can show it, for the reason given.",
    "",
    "| standard | statements | pass | not yet | n/a |",
    "|---|---|---|---|---|",
    ...tables.map(({ name, rows }) => {
      const count = (verdict: Row["verdict"]): number => rows.filter((row) => row.verdict === verdict).length;
      return `| ${name} | ${rows.length} | ${count("pass")} | ${count("not yet")} | ${count("not applicable")} |`;
    }),
    "",
    ...tables.flatMap(({ name, text }) => [`## ${name}`, "", ...text, ""]),
  ].join("\n");
}

function rowsOf(
  cases: Readonly<Record<string, readonly Case[]>>,
  level: Level,
  statements: Readonly<Record<string, Statement>>,
  outcomeOf: OutcomeOf,
): Row[] {
  const byId = new Map<string, Covering[]>(Object.keys(statements).map((id) => [id, []]));
  for (const [file, list] of Object.entries(cases)) {
    for (const one of list) for (const id of new Set(idsOf(one, level))) byId.get(id)!.push({ file, one });
  }
  return Object.entries(statements).map(([id, statement]) => {
    const covering = byId.get(id)!;
    const outcomes = covering.map(({ one }) => outcomeOf(one, level));
    return { id, statement, covering, verdict: verdictOf(statement, outcomes) };
  });
}

function verdictOf(statement: Statement, outcomes: readonly Outcome[]): Row["verdict"] {
  if (statement.notApplicable !== undefined) return "not applicable";
  if (outcomes.length === 0 || outcomes.some((one) => one === "failed" || one === "not run")) return "fail";
  return outcomes.includes("not yet") ? "not yet" : "pass";
}

function tableOf(level: Level, rows: readonly Row[], outcomeOf: OutcomeOf): string[] {
  const lines = ["| number | in our words | verdict | tests |", "|---|---|---|---|"];
  for (const { id, statement, verdict, covering } of rows) {
    const tests = covering.slice(0, SHOWN_TESTS).map(({ file, one }) => {
      const outcome = outcomeOf(one, level);
      const mark = outcome === "passed" ? "" : ` (${outcome})`;
      return `[${file}](../../services/listener/conformance/cases/${file}.ts): ${one.title}${mark}`;
    });
    if (covering.length > SHOWN_TESTS) tests.push(`and ${covering.length - SHOWN_TESTS} more`);
    const missing = [...new Set(covering.flatMap(({ one }) => one.notYet ?? []))];
    const said = {
      pass: "pass",
      fail: "**fail**",
      "not yet": `not yet: ${missing.join(", ")}`,
      "not applicable": `n/a: ${statement.notApplicable}`,
    }[verdict];
    const cells = [`[${id}]`, statement.says, said, tests.join("<br>")];
    lines.push(`| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`);
  }
  return lines;
}

/** One sentence for each statement that the tables and the cases do not agree upon. */
export function uncovered(cases: readonly Case[]): string[] {
  return STATEMENTS.flatMap(([level, name, statements]) => {
    const covered = new Set(
      cases.filter((one) => levelsOf(one).includes(level)).flatMap((one) => idsOf(one, level)),
    );
    return Object.entries(statements).flatMap(([id, { notApplicable }]) => {
      if (notApplicable === undefined && !covered.has(id)) return [`${name} ${id} is covered by no case`];
      if (notApplicable !== undefined && covered.has(id))
        return [`${name} ${id} is not applicable, and covered`];
      return [];
    });
  });
}
