/** `myelin rules`: what rules would do. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { DeviceProfileSpec, RuleSpec } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { type ProfileNames, Rule, unknownName } from "@myelin/rules";
import { colour, EXIT, print, printable, printJson } from "../output.js";
import { readInput } from "../resources/input.js";
import { unifiedDiff } from "../resources/unified-diff.js";
import { type CaseFile, parseCases } from "../rule-cases/case-file.js";
import { expectedOf, runCase } from "../rule-cases/run-case.js";

export interface RulesOptions {
  readonly json: boolean;
}

/** Runs the cases of these files. Exit code 1 where one differs. @throws AppError `config.invalid_resource`, `config.unreadable`, `config.invalid`, `rule.invalid` */
export async function testRules(files: readonly string[], { json }: RulesOptions): Promise<number> {
  if (files.length === 0) throw new AppError("config.invalid", "myelin rules test needs a file of cases");
  // All files are checked before the first case runs.
  const read = [];
  for (const file of files) {
    const cases = await parseCases(await textOf(file), file);
    read.push({ file, cases, rules: await rulesOf(file, cases) });
  }
  let failed = 0;
  let count = 0;
  for (const { file, cases, rules } of read)
    for (const one of cases.cases) {
      const expected = expectedOf(one);
      const told = runCase(rules.get(one.rule) as Rule, one);
      const diff = unifiedDiff(linesOf(expected), linesOf(told), { before: "expected", after: "told" });
      count++;
      if (diff !== "") failed++;
      const { name, rule } = one;
      if (json) printJson({ file, rule, case: name, passed: diff === "", expected, told });
      else show(`${rule}: ${name}`, diff);
    }
  if (!json) print(`${count - failed} of ${count} cases are as expected`);
  return failed === 0 ? EXIT.ok : EXIT.failed;
}

function show(title: string, diff: string): void {
  print(`${diff === "" ? colour.green("✓") : colour.red("✗")} ${printable(title)}`);
  if (diff === "") return;
  for (const line of diff.trimEnd().split("\n")) {
    const paint = line.startsWith("+") ? colour.green : line.startsWith("-") ? colour.red : String;
    print(`  ${paint(line)}`);
  }
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new AppError("config.unreadable", `cannot read ${file}`, { cause });
  }
}

/** Compiled, by name: those that the cases are about. */
async function rulesOf(file: string, { rules, cases }: CaseFile): Promise<ReadonlyMap<string, Rule>> {
  const names = rules.map((name) => path.resolve(path.dirname(file), name));
  const found = new Map<string, Rule>();
  const profiles = new Map<string, ProfileNames>();
  for (const { document } of await readInput(names, { recursive: false, stdin: process.stdin })) {
    if (document.resource === undefined) continue;
    if (document.kind === "DeviceProfile")
      profiles.set(document.name, document.resource.spec as DeviceProfileSpec);
    if (document.kind !== "Rule") continue;
    found.set(document.name, new Rule(document.name, document.resource.spec as RuleSpec));
  }
  for (const rule of found.values()) {
    const unknown = unknownName(rule, (name) => profiles.get(name));
    if (unknown !== undefined) throw unknown;
  }
  for (const { rule, name } of cases)
    if (!found.has(rule))
      throw new AppError(
        "config.invalid",
        `${file}: case "${name}": there is no rule ${rule} in ${rules.join(", ")}`,
      );
  return found;
}
