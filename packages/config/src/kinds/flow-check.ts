/** What the schema of a flow cannot say. Whether its expressions hold is judged where they are compiled. */
import type { Problem, ValuePath } from "../schema/check.js";
import type { FlowSpec, FlowStepSpec } from "./flow.js";
import { RESERVED_WORDS } from "./reserved-words.js";
import { topicFilterRule } from "./topic-rules.js";

type Expect = (at: ValuePath, value: unknown, rule: string | undefined) => void;

/** Paths are relative to the spec. */
export function checkFlow(spec: FlowSpec): readonly Problem[] {
  const problems: Problem[] = [];
  const expect: Expect = (path, value, rule) => {
    if (rule !== undefined) problems.push({ path, value, rule });
  };
  const names = Object.keys(spec.steps);
  if (names.length === 0) expect(["steps"], spec.steps, "at least one step");
  checkNames(names, ["steps"], expect);
  checkNames(Object.keys(spec.input), ["input"], expect);
  for (const [name, step] of Object.entries(spec.steps)) checkStep(spec, name, step, expect);
  checkOrder(spec, expect);
  return problems;
}

function checkNames(names: readonly string[], at: ValuePath, expect: Expect): void {
  for (const name of names)
    if (RESERVED_WORDS.has(name))
      expect([...at, name], name, `another name: ${name} is a word of the expression language`);
}

function checkStep(spec: FlowSpec, name: string, step: FlowStepSpec, expect: Expect): void {
  const at: ValuePath = ["steps", name];
  for (const [i, other] of step.dependsOn.entries())
    if (!Object.hasOwn(spec.steps, other))
      expect([...at, "dependsOn", i], other, "the name of a step of this flow");
  checkNames(Object.keys(step.outputs), [...at, "outputs"], expect);
  if (Object.hasOwn(step.outputs, "state"))
    expect([...at, "outputs", "state"], "state", "another name: state says how the step ended");
  const { each } = step.do;
  const wait = (each?.do ?? step.do).wait;
  const where: ValuePath = each === undefined ? [...at, "do"] : [...at, "do", "each", "do"];
  for (const [i, filter] of (wait?.event?.topics ?? []).entries())
    expect([...where, "wait", "event", "topics", i], filter, topicFilterRule(filter));
  if (wait?.for !== undefined && wait.for > step.timeout)
    expect([...at, "timeout"], step.timeout, "at least as long as what is waited for");
  for (const [key, retry] of [["retry", step.retry] as const, ["undo", step.undo?.retry] as const])
    if (retry !== undefined && retry.maxWait < retry.wait)
      expect(
        [...at, ...(key === "undo" ? ["undo", "retry"] : [key]), "maxWait"],
        retry.maxWait,
        "at least wait",
      );
}

/** A step can begin when all before it can; what is left over lies on a cycle, or behind one. */
function checkOrder({ steps }: FlowSpec, expect: Expect): void {
  const before = (name: string): readonly string[] =>
    (steps[name]?.dependsOn ?? []).filter((other) => Object.hasOwn(steps, other));
  const left = new Set(Object.keys(steps));
  for (let found = true; found; ) {
    found = false;
    for (const name of left)
      if (!before(name).some((other) => left.has(other))) {
        left.delete(name);
        found = true;
      }
  }
  for (const name of left) {
    const cycle = cycleThrough(name, (at) => before(at).filter((other) => left.has(other)));
    const rule =
      cycle === undefined
        ? `reachable: it waits for ${before(name)
            .filter((other) => left.has(other))
            .join(", ")}, which can never begin`
        : `without a cycle: ${cycle.join(" waits for ")}`;
    expect(["steps", name, "dependsOn"], steps[name]?.dependsOn, rule);
  }
}

/** The shortest way from a step back to itself. */
function cycleThrough(
  name: string,
  before: (name: string) => readonly string[],
): readonly string[] | undefined {
  const seen = new Set<string>();
  let ways: string[][] = [[name]];
  while (ways.length > 0) {
    const further: string[][] = [];
    for (const way of ways)
      for (const next of before(way.at(-1) as string)) {
        if (next === name) return [...way, name];
        if (seen.has(next)) continue;
        seen.add(next);
        further.push([...way, next]);
      }
    ways = further;
  }
  return undefined;
}
