import { checkValue, type FlowSpec, flowKind } from "@myelin/config";
import { describe, expect, it } from "vitest";
import { type CompiledFlow, compileFlow, type FlowProblem } from "./compile.js";
import { createRun } from "./state.js";
import { checkInput, evaluateOutputs, valuesOf } from "./values.js";

const NAP = { wait: { for: "1s" } };

function compiled(spec: object): { flow: CompiledFlow; problems: readonly FlowProblem[] } {
  const { value, problems } = checkValue(flowKind.spec, spec);
  expect(problems).toEqual([]);
  return compileFlow("refill", value as FlowSpec);
}

describe("a flow", () => {
  it("says what a step does with what its expressions give, of the type they give", () => {
    const { flow, problems } = compiled({
      input: { tank: {}, level: { type: "number" } },
      steps: {
        look: { do: NAP, outputs: { low: "result.low" } },
        open: {
          dependsOn: ["look"],
          when: "steps.look.state == 'succeeded' && input.level > 1",
          do: {
            command: {
              device: `pump-\${input.tank}`,
              name: "open",
              parameters: { to: `\${input.level + 1}`, low: `\${steps.look.low}`, run: `\${run.id}` },
            },
          },
        },
      },
    });
    expect(problems).toEqual([]);
    const state = createRun(["look", "open"]);
    Object.assign(state.steps.get("look") as object, { status: "succeeded", outputs: { low: [1] } });
    const values = valuesOf({ id: "3-a", flow: "refill", input: { tank: "t7", level: 4 } }, state);
    const open = flow.steps.get("open");
    expect(open?.when?.holds(values as never)).toBe(true);
    expect(open?.action.render(values)).toEqual({
      device: "pump-t7",
      name: "open",
      parameters: { to: 5, low: [1], run: "3-a" },
      ttl: 30_000,
    });
  });

  it("knows the device in what is done for each, and its own outputs in what undoes it", () => {
    const { flow, problems } = compiled({
      steps: {
        lamps: {
          do: {
            each: { devices: { group: "lamps" }, do: { command: { device: `\${device}`, name: "on" } } },
          },
          outputs: { n: "result.succeeded" },
          undo: {
            do: { command: { device: `\${device}`, name: "off", parameters: { n: `\${steps.lamps.n}` } } },
          },
        },
      },
    });
    expect(problems).toEqual([]);
    const values = { input: {}, run: {}, steps: { lamps: { n: 2 } }, device: "l1" };
    expect(flow.steps.get("lamps")?.undo?.render(values)).toMatchObject({
      device: "l1",
      parameters: { n: 2 },
    });
  });

  it.each([
    [{ a: { do: NAP, when: "input.x > 1" } }, "steps.a.when", "without input.x"],
    [{ a: { do: NAP, when: "steps.b.state == 'failed'" } }, "steps.a.when", "there is no such step"],
    [{ a: { do: NAP, when: "1 +" } }, "steps.a.when", "the expression 1 +"],
    [{ a: { do: NAP, when: "level > 1" } }, "steps.a.when", "the expression"],
    [{ a: { do: NAP }, b: { do: NAP, when: "steps.a.state == 'failed'" } }, "steps.b.when", "see dependsOn"],
    [
      { a: { do: NAP }, b: { dependsOn: ["a"], do: { app: { name: "x", method: `\${steps.a.y}` } } } },
      "steps.b.do.app.method",
      "no such output",
    ],
    [{ a: { do: { app: { name: "x", method: `\${device}` } } } }, "steps.a.do.app.method", "the expression"],
    [
      { a: { do: { wait: { event: { device: "d", topics: ["a"], when: "input.x" } } } } },
      "steps.a.do.wait.event.when",
      "the expression input.x",
    ],
    [
      { a: { do: { wait: { point: { device: "d", when: "level >" } } } } },
      "steps.a.do.wait.point.when",
      "the expression level >",
    ],
    [{ a: { do: NAP, outputs: { t: "run.time" } } }, "steps.a.outputs.t", "without run.time"],
  ])("is refused for a name or an expression that cannot hold, with its path: %j", (steps, path, rule) => {
    const { problems } = compiled({ steps });
    expect(problems.map((problem) => problem.path.join("."))).toEqual([path]);
    expect(problems[0]?.rule).toContain(rule);
  });

  it("takes the input it asks for and no other", () => {
    const { flow } = compiled({
      input: { tank: {}, level: { type: "integer", required: false } },
      steps: { a: { do: NAP } },
    });
    expect(checkInput(flow, { tank: "t1" })).toEqual({ tank: "t1" });
    for (const [input, problem] of [
      [{}, "tank must be given"],
      [{ tank: 1 }, "tank must be of type string"],
      [{ tank: "t", level: 1.5 }, "level must be of type integer"],
      [{ tank: "t", toString: 1 }, "toString is not among tank, level"],
      [[], "it must be an object"],
      [{ tank: "t".repeat(70_000) }, "larger than"],
    ] as const)
      expect(() => checkInput(flow, input)).toThrow(problem);
  });

  it("gives outputs as JSON has them, and none that are too large", () => {
    const { flow } = compiled({
      steps: { a: { do: NAP } },
      outputs: { n: "size(input.list)", all: "input.list" },
    });
    const values = { input: { list: [1, 2] }, steps: {}, run: {} };
    expect(evaluateOutputs(flow.outputs, values)).toEqual({ n: 2, all: [1, 2] });
    const large = { ...values, input: { list: Array.from({ length: 20_000 }, () => "text") } };
    expect(() => evaluateOutputs(flow.outputs, large)).toThrow("outputs are larger");
  });
});
