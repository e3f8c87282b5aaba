import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";

const rule = (spec: string) =>
  parseResources(
    `apiVersion: myelin.dev/v1alpha1\nkind: Rule\nmetadata: { name: hot }\nspec: ${spec}\n`,
    "r.yaml",
  );

describe("a Rule", () => {
  it("needs a trigger and what must hold, and is completed", async () => {
    const { documents } = await rule("{ trigger: { points: [t] }, when: t > 80 }");
    expect(documents[0]?.problems).toEqual([]);
    expect(documents[0]?.resource?.spec).toEqual({
      mode: "act",
      trigger: { points: ["t"] },
      values: {},
      when: "t > 80",
      for: 0,
      severity: "warning",
      placement: "hub",
      actions: [],
      cleared: [],
      limits: { cooldown: 0, actions: 600, per: 60_000 },
    });
  });

  it("takes windows, hysteresis, oddness, lists of numbers and every kind of action", async () => {
    const { documents } = await rule(`
  devices: ["boiler-*"]
  profiles: [boiler]
  trigger: { points: [t, vibration] }
  values:
    mean: { average: { point: t, over: 5m } }
    odd: { anomaly: { point: t, season: day } }
    bearing: { band: { point: vibration, sampleHz: 1000, fromHz: 100, toHz: 200 } }
  when: mean > 80.0 || odd > 4.0 || bearing > 0.5
  for: 30s
  clear: { when: mean < 75.0, for: 1m }
  severity: critical
  actions:
    - alarm: { message: "\${device} is at \${mean}" }
    - publish: { topic: "alerts/\${device}" }
    - webhook: { url: "https://example.org/hook", secret: { fromFile: /run/secrets/hook } }
    - app: { name: planner, method: plan }
    - sink: { name: history, path: firings, values: { mean: "\${mean}" } }
    - shadow: { desired: { fan: "on" } }
    - command: { name: stop }
  cleared:
    - publish: { topic: "alerts/\${device}/over" }
`);
    expect(documents[0]?.problems).toEqual([]);
  });

  it.each([
    ["{}", "spec.trigger: nothing must be given"],
    ["{ trigger: { points: [t], presence: [online] }, when: t > 1 }", "exactly one of"],
    ["{ trigger: { points: [t] } }", "spec.when"],
    ["{ trigger: { points: ['a b'] }, when: t > 1 }", "the name of a point"],
    ["{ trigger: { event: { topics: ['a/#/b'] } } }", "spec.trigger.event.topics[0]"],
    ["{ trigger: { schedule: { cron: '0 6 * * *', timeZone: Moon/Sea } } }", "IANA"],
    [
      "{ trigger: { points: [t] }, when: f > 1, values: { f: { field: f } } }",
      "a trigger with a payload: event or shadow",
    ],
    ["{ trigger: { points: [t] }, when: t > 1, values: { hour: { age: { point: t } } } }", "another name"],
    [
      "{ trigger: { points: [t] }, when: b > 1, values: { b: { band: { point: t, sampleHz: 10, fromHz: 4, toHz: 3 } } } }",
      "at least fromHz",
    ],
    ["{ trigger: { presence: [online] }, clear: {} }", "spec.clear"],
    ["{ trigger: { presence: [online] }, actions: [{ alarm: {} }] }", "spec.actions[0].alarm"],
    ["{ trigger: { points: [t] }, when: t > 1, cleared: [{ alarm: {} }] }", "spec.cleared[0].alarm"],
    ["{ trigger: { presence: [online] }, for: 1s }", "spec.for"],
    ["{ trigger: { presence: [online] }, actions: [{ publish: { topic: 'a/+' } }] }", "without wildcards"],
    ["{ trigger: { absence: { for: 1m } }, fires: always }", "spec.fires"],
  ])("is refused with path, value and rule: %s", async (spec, expected) => {
    const { documents, problems } = await rule(spec);
    const all = [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
    expect(all).toEqual([expect.stringContaining(expected)]);
  });
});
