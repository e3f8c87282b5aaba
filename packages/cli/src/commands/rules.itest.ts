/** `myelin rules test` on files, with the exit codes that scripts see. */
import { writeFile } from "node:fs/promises";
import { tempDir } from "@myelin/testkit";
import { expect, it } from "vitest";
import { testRules } from "./rules.js";

const RULE = `apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: hot }
spec:
  profiles: [boiler]
  trigger: { points: [t] }
  when: t > 80
  for: 30s
  clear: { when: t < 75 }
---
apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: open }
spec:
  trigger: { event: { topics: ["doors/+"] } }
  values: { state: { field: state } }
  when: state == 'open'
---
apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: gone }
spec: { trigger: { presence: [offline] }, when: hour > 11 }
---
apiVersion: myelin.dev/v1alpha1
kind: Rule
metadata: { name: silent }
spec: { trigger: { absence: { for: 5m } } }
`;

const CASES = `rules: [rules.yaml]
cases:
  - name: fires after half a minute, and ends lower down
    rule: hot
    steps:
      - { at: 0s, points: { t: 90 } }
      - { at: 40s, points: { t: 79 } }
      - { at: 50s, points: { t: 70 } }
    expect: [{ at: 30s, state: raised }, { at: 50s, state: cleared }]
  - name: does not fire for a moment
    rule: hot
    steps: [{ at: 0s, points: { t: 90 } }, { at: 29s, points: { t: 70 } }, { at: 1h }]
    expect: []
  - name: fires each time
    rule: open
    steps:
      - { at: 0s, event: { topic: doors/1, payload: { state: open } } }
      - { at: 1s, event: { topic: windows/1, payload: { state: open } } }
      - { at: 1500ms, event: { topic: doors/1, payload: { state: open } } }
    expect: [{ at: 0s, state: fired }, { at: 1500ms, state: fired }]
  - name: is asleep in the morning
    rule: gone
    start: "2026-01-05T09:00:00Z"
    steps: [{ at: 0s, presence: offline }]
    expect: []
  - name: misses what does not come
    rule: silent
    steps: [{ at: 0s, points: { t: 1 } }, { at: 10m }]
    expect: [{ at: 5m, state: raised }]
`;

async function run(cases: string, rules = RULE) {
  await using dir = await tempDir("rules");
  await writeFile(dir.join("rules.yaml"), rules);
  await writeFile(dir.join("cases.yaml"), cases);
  return await testRules([dir.join("cases.yaml")], { json: true });
}

it("is content where all rules tell what their cases ask for", async () => {
  expect(await run(CASES)).toBe(0);
});

it.each([
  ["a moment that is another one", "at: 30s, state", "at: 31s, state"],
  ["something that is not told", "expect: []", "expect: [{ at: 1s, state: raised }]"],
  ["something that is told besides", "{ at: 0s, state: fired }, ", ""],
  ["another end of it", "state: cleared", "state: raised"],
])("fails for %s", async (_, before, after) => {
  expect(CASES).toContain(before);
  expect(await run(CASES.replace(before, after))).toBe(1);
});

it.each([
  ["cases[0].ruel", CASES.replace("rule: hot", "ruel: hot")],
  ["cases[0].steps[2].at", CASES.replace("at: 40s", "at: 60s").replace("at: 50s", "at: 51s")],
  ["cases[0].steps[0].points.t", CASES.replace("{ t: 90 }", "{ t: { is: 90 } }")],
  ["cases[0].expect[0].state", CASES.replace("state: raised", "state: up")],
  ["there is no rule cold", CASES.replace("rule: hot", "rule: cold")],
  ["YAML", "rules: ["],
])("refuses a file of cases, and says where: %s", async (where, cases) => {
  await expect(run(cases)).rejects.toMatchObject({ message: expect.stringContaining(where) });
});

const PROFILE = `---
apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: boiler }
spec:
  payloads: [{ format: json }]
  points: { temperature: { from: { field: t } } }
`;

it.each([
  ["rule hot: spec.trigger.points[0]: t is no point of boiler, known are temperature", `${RULE}${PROFILE}`],
  ["rule hot: spec.when", RULE.replace("t > 80", "t >")],
  ["spec.for", RULE.replace("for: 30s", "for: long")],
])("refuses rules that are none, and says where: %s", async (where, rules) => {
  await expect(run(CASES, rules)).rejects.toMatchObject({ message: expect.stringContaining(where) });
});
