import { describe, expect, it } from "vitest";
import type { FiredRule } from "./action.js";
import { filled, filledFields, filledTopic, payloadOf } from "./template.js";

const fired: FiredRule = {
  id: "3-1",
  rule: "hot",
  description: "",
  severity: "major",
  tenant: "",
  device: "a/b+",
  state: "raised",
  atMs: Date.UTC(2026, 0, 31),
  values: { t: 91.5, mode: "run", list: [1, 2] },
  topic: "x/y",
  isReplayed: false,
  causes: ["hot"],
};
const place = (name: string) => `\${${name}}`;

describe("a text of an action", () => {
  it("has places for values and for what is known of the firing", () => {
    const text = `${place("device")} ${place("t")} ${place("severity")} ${place("list")} ${place("none")}|${place("time")}`;
    expect(filled(text, fired)).toBe("a/b+ 91.5 major [1,2] |2026-01-31T00:00:00.000Z");
    expect(filled("no place ${", fired)).toBe("no place ${");
  });

  it("never makes more levels or wildcards of a topic", () => {
    expect(filledTopic(`alerts/${place("device")}/x`, fired)).toBe("alerts/a_b_/x");
  });

  it("keeps the type of a value that stands alone, and leaves out what is not known", () => {
    const fields = { a: place("t"), b: `${place("t")} Cel`, c: place("none"), d: "on" };
    expect(filledFields(fields, fired)).toEqual({ a: 91.5, b: "91.5 Cel", d: "on" });
  });

  it("is the firing itself where a rule says nothing", () => {
    expect(payloadOf(undefined, fired)).toMatchObject({ rule: "hot", device: "a/b+", values: { t: 91.5 } });
    expect(payloadOf({ x: place("mode") }, fired)).toEqual({ x: "run" });
  });
});
