import { resource as wire } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { combine } from "./status.js";

const { TRUE, FALSE } = wire.ConditionStatus;

function report(instance: string, ...conditions: Partial<wire.Condition>[]): wire.Report {
  const resource = { kind: "Route", name: "a", source: "a.yaml", conditions };
  return wire.Report.fromPartial({ instance, resources: [resource] });
}

const ready = (status: wire.ConditionStatus, sinceUs: number) => ({
  type: "Ready",
  status,
  sinceUs,
  reason: "x",
});

describe("what several processes say of one resource", () => {
  it("is the worst of it, with who says so, and since when", () => {
    const { conditions, instances } = combine([
      report("core-0", ready(TRUE, 3_000_000)),
      report("core-2", ready(FALSE, 1_000_000)),
      report("core-1", ready(FALSE, 2_000_000)),
    ]);
    expect(conditions.get("Route/a")).toEqual([
      expect.objectContaining({
        status: "False",
        lastTransitionTime: "1970-01-01T00:00:02.000Z",
        instances: ["core-1", "core-2"],
      }),
    ]);
    expect(instances).toEqual(["core-0", "core-1", "core-2"]);
  });

  it("counts once what comes in two pages, and by kind of condition", () => {
    const twice = report("core", ready(TRUE, 1), { ...ready(FALSE, 2), type: "Accepted" });
    const own = combine([twice, twice]).conditions.get("Route/a");
    expect(own?.map(({ type, status, instances }) => [type, status, instances])).toEqual([
      ["Accepted", "False", ["core"]],
      ["Ready", "True", ["core"]],
    ]);
  });

  it("sums what they count, each page of it once", () => {
    const counts = (instance: string, queuedMessages: number) => {
      const figures = [{ name: "queuedMessages", value: queuedMessages }];
      return wire.Report.fromPartial({ instance, resources: [{ kind: "Bridge", name: "a", figures }] });
    };
    const { figures } = combine([counts("listener-0", 3), counts("listener-1", 4), counts("listener-0", 5)]);
    expect(figures.get("Bridge/a")).toEqual({ queuedMessages: 9 });
  });

  it("keeps files that are no resources apart", () => {
    const file = { kind: "", name: "", source: "x.yaml", conditions: [{ message: "x.yaml:1: no YAML" }] };
    const { files, conditions } = combine([wire.Report.fromPartial({ instance: "core", resources: [file] })]);
    expect(files).toEqual(["x.yaml:1: no YAML"]);
    expect(conditions.size).toBe(0);
  });
});
