/** What the schema of a rule cannot say. Whether its expressions hold is judged where they are compiled. */
import type { Problem, ValuePath } from "../schema/check.js";
import { RESERVED_WORDS } from "./reserved-words.js";
import type { RuleSpec } from "./rule.js";
import { isTimeZone } from "./time-zone.js";
import { topicFilterRule, topicNameRule } from "./topic-rules.js";

type Expect = (at: ValuePath, value: unknown, rule: string | undefined) => void;

/** Names that every expression has. */
const BUILT_IN = ["device", "topic", "time", "hour", "weekday", "online"];

/** Paths are relative to the spec. */
export function checkRule(spec: RuleSpec): readonly Problem[] {
  const problems: Problem[] = [];
  const expect: Expect = (path, value, rule) => {
    if (rule !== undefined) problems.push({ path, value, rule });
  };
  checkTrigger(spec, expect);
  checkValues(spec, expect);
  checkLifeCycle(spec, expect);
  for (const list of ["actions", "cleared"] as const)
    for (const [i, action] of spec[list].entries()) checkAction(spec, action, [list, i], expect);
  return problems;
}

function checkTrigger({ trigger, fires, values }: RuleSpec, expect: Expect): void {
  for (const [i, filter] of (trigger.event?.topics ?? []).entries())
    expect(["trigger", "event", "topics", i], filter, topicFilterRule(filter));
  if (trigger.event === undefined && trigger.shadow === undefined)
    for (const [name, value] of Object.entries(values))
      if (value.field !== undefined)
        expect(["values", name, "field"], value.field, "a trigger with a payload: event or shadow");
  if (trigger.absence !== undefined && fires === "always")
    expect(["fires"], fires, "once: nothing comes only once");
  const zone = trigger.schedule?.timeZone;
  if (zone !== undefined && !isTimeZone(zone))
    expect(["trigger", "schedule", "timeZone"], zone, "the IANA name of a time zone");
}

function checkValues({ values }: RuleSpec, expect: Expect): void {
  for (const [name, value] of Object.entries(values)) {
    if (RESERVED_WORDS.has(name) || BUILT_IN.includes(name))
      expect(["values", name], name, `another name: ${name} has a meaning in expressions`);
    const { band } = value;
    if (band === undefined) continue;
    if (band.toHz < band.fromHz)
      expect(["values", name, "band", "toHz"], band.toHz, `at least fromHz, ${band.fromHz}`);
    if (band.fromHz > band.sampleHz / 2)
      expect(
        ["values", name, "band", "fromHz"],
        band.fromHz,
        `at most half of sampleHz, ${band.sampleHz / 2}`,
      );
  }
}

function checkLifeCycle(spec: RuleSpec, expect: Expect): void {
  const isOnce = firesOnce(spec);
  if (!isOnce && spec.clear !== undefined)
    expect(["clear"], spec.clear, "left out: what fires always is never over");
  if (!isOnce && spec.cleared.length > 0)
    expect(["cleared"], spec.cleared, "left out: what fires always is never over");
  if (!isOnce && spec.for > 0) expect(["for"], spec.for, "left out: what fires always does so at once");
  if (spec.when === undefined && spec.clear?.when !== undefined)
    expect(["clear", "when"], spec.clear.when, "left out: there is no `when`");
  if (isOnce && spec.when === undefined && spec.trigger.absence === undefined)
    expect(["when"], spec.when, "given: without it the rule could fire only once for ever");
}

function checkAction(
  spec: RuleSpec,
  action: RuleSpec["actions"][number],
  at: ValuePath,
  expect: Expect,
): void {
  const { publish, alarm } = action;
  if (publish !== undefined)
    expect(
      [...at, "publish", "topic"],
      publish.topic,
      topicNameRule(publish.topic.replaceAll(/\$\{\w*\}/g, "")),
    );
  if (alarm !== undefined && at[0] === "cleared")
    expect([...at, "alarm"], alarm, "in actions: it ends by itself when the rule is over");
  if (alarm !== undefined && !firesOnce(spec))
    expect([...at, "alarm"], alarm, "a rule with `fires: once`, or nobody would know when it is over");
}

/** Whether it fires again only after it was over. */
export function firesOnce({ fires, trigger }: RuleSpec): boolean {
  if (fires !== undefined) return fires === "once";
  return trigger.points !== undefined || trigger.absence !== undefined;
}
