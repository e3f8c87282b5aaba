/** Runs one case of a rule by the engine that a dispatcher has. */
import { topicMatches } from "@myelin/contract";
import { type PointValue, type Rule, RuleEngine } from "@myelin/rules";
import type { RuleCase } from "./case-file.js";

/** What the rule has told: a line for each, such as `30s raised`. */
export function runCase(rule: Rule, wanted: RuleCase): readonly string[] {
  const told: string[] = [];
  const startMs = Date.parse(wanted.start);
  const engine = new RuleEngine({
    maxDevices: 1,
    onFiring: ({ state, atMs }) => told.push(lineOf(atMs - startMs, state)),
  });
  engine.setRules([rule]);
  const profile = wanted.profile ?? rule.spec.profiles?.[0] ?? "";
  for (const { at, points, event, presence, shadow, schedule } of wanted.steps) {
    const atMs = startMs + at;
    const speaker = { tenant: "", device: wanted.device, profile, atMs, isReplayed: false };
    const occasion = { ...speaker, topic: event?.topic ?? "" };
    engine.advance(atMs);
    if (points !== undefined) engine.samples(occasion, samplesOf(points));
    if (event !== undefined) {
      const matches = ({ spec }: Rule): boolean =>
        spec.trigger.event?.topics.some((filter) => topicMatches(filter, event.topic)) === true;
      engine.event(occasion, matches, () => event.payload);
    }
    if (presence !== undefined) engine.presence(occasion, presence === "online");
    if (shadow !== undefined) engine.shadow(occasion, shadow.name, { state: shadow.state });
    if (schedule !== undefined) engine.schedule(rule.name, atMs);
  }
  return told;
}

/** What the case asks for, as `runCase` tells it. */
export function expectedOf({ expect }: RuleCase): readonly string[] {
  return expect.map(({ at, state }) => lineOf(at, state));
}

function lineOf(ms: number, state: string): string {
  return `${ms / 1_000}s ${state}`;
}

function samplesOf(points: Readonly<Record<string, unknown>>): readonly PointValue[] {
  return Object.entries(points).map(([point, value]) => ({ point, value: value as PointValue["value"] }));
}
