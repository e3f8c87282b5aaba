import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";

const flow = (spec: string) =>
  parseResources(
    `apiVersion: myelin.dev/v1alpha1\nkind: Flow\nmetadata: { name: refill }\nspec: ${spec}\n`,
    "f.yaml",
  );

const problemsOf = async (spec: string): Promise<string[]> => {
  const { documents, problems } = await flow(spec);
  return [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
};

describe("a Flow", () => {
  it("needs a step, and is completed", async () => {
    const { documents } = await flow("{ steps: { nap: { do: { wait: { for: 1s } } } } }");
    expect(documents[0]?.problems).toEqual([]);
    expect(documents[0]?.resource?.spec).toEqual({
      input: {},
      steps: {
        nap: {
          dependsOn: [],
          do: { wait: { for: 1_000 } },
          timeout: 60_000,
          retry: { attempts: 1, wait: 1_000, factor: 2, maxWait: 300_000 },
          outputs: {},
          onFailure: "fail",
        },
      },
      outputs: {},
      timeout: 3_600_000,
      priority: 0,
      limits: { runs: 10, waiting: 1_000, steps: 16 },
      keep: 604_800_000,
    });
  });

  it("takes every kind of step, with what undoes it", async () => {
    const found = await problemsOf(`
  input: { tank: {}, level: { type: number, required: false } }
  steps:
    open:
      do: { command: { device: "\${input.tank}", name: open, parameters: { to: "\${input.level}" } } }
      retry: { attempts: 3 }
      undo: { do: { command: { device: "\${input.tank}", name: close } } }
    full:
      dependsOn: [open]
      do: { wait: { point: { device: "\${input.tank}", when: level > 80.0 } } }
      timeout: 10m
      outputs: { level: result.level }
    tell:
      dependsOn: [full]
      when: steps.full.level < 90.0
      do: { app: { name: planner, method: full, payload: { level: "\${steps.full.level}" } } }
      onFailure: continue
    order: { dependsOn: [full], do: { http: { url: "https://example.org/orders", repeats: keyed } } }
    rest: { dependsOn: [tell, order], do: { flow: { name: rinse, input: { tank: "\${input.tank}" } } } }
    lamps: { do: { each: { devices: { group: lamps }, do: { command: { device: "\${device}", name: on } } } } }
    gone: { do: { wait: { event: { device: gate, topics: ["gate/+"], when: payload.open == false } } } }
`);
    expect(found).toEqual([]);
  });

  it.each([
    ["{ steps: {} }", "spec.steps: {} must be at least one step"],
    ["{ steps: { a: { do: {} } } }", "spec.steps.a.do"],
    ["{ steps: { a: { do: { wait: { for: 1s }, app: { name: x, method: y } } } } }", "exactly one of"],
    ["{ steps: { a: { dependsOn: [b], do: { wait: { for: 1s } } } } }", "spec.steps.a.dependsOn[0]"],
    ["{ steps: { a: { dependsOn: [a], do: { wait: { for: 1s } } } } }", "without a cycle: a waits for a"],
    ["{ steps: { a: { do: { wait: { for: 2m } } } } }", "spec.steps.a.timeout"],
    ["{ steps: { in: { do: { wait: { for: 1s } } } } }", "another name"],
    ["{ steps: { a: { outputs: { state: 'true' }, do: { wait: { for: 1s } } } } }", "another name"],
    [
      "{ steps: { a: { do: { wait: { event: { device: d, topics: ['#/a'] } } } } } }",
      "spec.steps.a.do.wait.event.topics[0]",
    ],
    [
      "{ steps: { a: { retry: { wait: 2s, maxWait: 1s }, do: { wait: { for: 1s } } } } }",
      "spec.steps.a.retry.maxWait",
    ],
  ])("is refused with path, value and rule: %s", async (spec, expected) => {
    expect(await problemsOf(spec)).toEqual([expect.stringContaining(expected)]);
  });

  it("names the steps of a cycle, and those that can never begin because of it", async () => {
    const step = (before: string) => `{ dependsOn: [${before}], do: { wait: { for: 1s } } }`;
    const spec = `{ steps: { a: ${step("c")}, b: ${step("a")}, c: ${step("b")}, d: ${step("c")}, e: ${step("")} } }`;
    expect(await problemsOf(spec)).toEqual([
      expect.stringContaining(
        'spec.steps.a.dependsOn: ["c"] must be without a cycle: a waits for c waits for b waits for a',
      ),
      expect.stringContaining(
        'spec.steps.b.dependsOn: ["a"] must be without a cycle: b waits for a waits for c waits for b',
      ),
      expect.stringContaining(
        'spec.steps.c.dependsOn: ["b"] must be without a cycle: c waits for b waits for a waits for c',
      ),
      expect.stringContaining(
        'spec.steps.d.dependsOn: ["c"] must be reachable: it waits for c, which can never begin',
      ),
    ]);
  });
});
