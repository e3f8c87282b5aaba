import { describe, expect, it } from "vitest";
import { parseResources } from "../dynamic/parse-resources.js";
import { formatResourceProblem } from "../dynamic/resource.js";
import { pluralOf } from "./kind-names.js";

const resource = (spec: string) =>
  parseResources(
    `apiVersion: myelin.dev/v1alpha1\nkind: Bus\nmetadata: { name: one }\nspec: ${spec}\n`,
    "r.yaml",
  );

const problemsOf = async (spec: string): Promise<string[]> => {
  const { documents, problems } = await resource(spec);
  return [...problems, ...documents.flatMap((d) => d.problems)].map(formatResourceProblem);
};

describe("a Bus", () => {
  it("says what a line is, and is completed", async () => {
    const { documents } = await resource("{ link: { serial: { path: /dev/ttyS0 } } }");
    expect(documents[0]?.problems).toEqual([]);
    expect(documents[0]?.resource?.spec).toEqual({
      node: "local",
      link: {
        serial: { path: "/dev/ttyS0", baud: 19_200, dataBits: 8, parity: "even", stopBits: 1, rts: "off" },
      },
      timeout: 300,
      retries: 0,
      turnaround: 100,
      unitLatency: 5,
    });
  });

  it("is called buses where there are several", () => {
    expect(pluralOf("Bus")).toBe("buses");
  });

  it.each([
    ["{ link: {} }", "spec.link"],
    ["{ link: { tcp: { host: a }, udp: { host: a, port: 1 } } }", "spec.link"],
    ["{ link: { serial: { path: ttyS0 } } }", "an absolute path"],
    ["{ link: { serial: { path: /dev/ttyS0, parity: mark } } }", "spec.link.serial.parity"],
    ["{ link: { gpio: { chip: ../sda } } }", "spec.link.gpio.chip"],
    ["{ link: { tcp: { host: a } }, unitLatency: 300ms }", "shorter than timeout, 300 ms"],
  ])("is refused with path, value and rule: %s", async (spec, expected) => {
    expect(await problemsOf(spec)).toEqual([expect.stringContaining(expected)]);
  });
});
