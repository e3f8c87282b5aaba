import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";

const resource = (spec: string) =>
  parseResources(
    `apiVersion: myelin.dev/v1alpha1\nkind: AppService\nmetadata: { name: one }\nspec: ${spec}\n`,
    "r.yaml",
  );

const problemsOf = async (spec: string): Promise<string[]> => {
  const { documents, problems } = await resource(spec);
  return [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
};

describe("an AppService", () => {
  it("says what is expected of an application, and is completed", async () => {
    const { documents } = await resource("{ methods: { plan: {} }, subscribes: [plant/#] }");
    expect(documents[0]?.problems).toEqual([]);
    expect(documents[0]?.resource?.spec).toEqual({
      instances: 1,
      subscribes: ["plant/#"],
      publishes: [],
      methods: { plan: { timeout: 5_000, repeatable: false } },
    });
  });

  it.each([
    ["{ instances: -1 }", "spec.instances"],
    ["{ publishes: ['a/#/b'] }", "spec.publishes[0]"],
    ["{ methods: { 'a b': {} } }", "spec.methods"],
  ])("is refused with path, value and rule: %s", async (spec, expected) => {
    expect(await problemsOf(spec)).toEqual([expect.stringContaining(expected)]);
  });
});
