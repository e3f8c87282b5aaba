import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";

const resource = (spec: string) =>
  parseResources(
    `apiVersion: myelin.dev/v1alpha1\nkind: Device\nmetadata: { name: one }\nspec: ${spec}\n`,
    "r.yaml",
  );

const problemsOf = async (spec: string): Promise<string[]> => {
  const { documents, problems } = await resource(spec);
  return [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
};

describe("a Device", () => {
  const SMALLEST = "node: press-1, bus: rs485, driver: modbus-rtu, profile: boiler";

  it("says where hardware is, and is completed", async () => {
    const { documents } = await resource(
      `{ ${SMALLEST}, address: "3", points: { t: { address: holding:100, poll: 100ms } } }`,
    );
    expect(documents[0]?.problems).toEqual([]);
    expect(documents[0]?.resource?.spec).toEqual({
      node: "press-1",
      bus: "rs485",
      driver: "modbus-rtu",
      profile: "boiler",
      address: "3",
      settings: {},
      poll: 1_000,
      heartbeat: 60_000,
      points: { t: { address: "holding:100", poll: 100 } },
      mode: "active",
    });
  });

  it.each([
    ["{ node: press-1, bus: rs485, driver: modbus-rtu }", "spec.profile"],
    [`{ ${SMALLEST}, mode: on }`, "spec.mode"],
    [`{ ${SMALLEST}, points: { a: { address: "1" }, b: { address: "1" } } }`, "spec.points.b.address"],
    ["{ node: press-1, bus: rs485, driver: Modbus, profile: boiler }", "the name of a driver"],
  ])("is refused with path, value and rule: %s", async (spec, expected) => {
    expect(await problemsOf(spec)).toEqual([expect.stringContaining(expected)]);
  });
});
