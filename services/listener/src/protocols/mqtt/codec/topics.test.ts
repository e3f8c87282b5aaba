import { describe, expect, it } from "vitest";
import { isTopicName, parseFilter } from "./topics.js";

describe("topics", () => {
  it.each([
    ["a", true],
    ["/", true],
    ["a//b", true],
    ["$SYS/x", true],
    ["häuser/1", true],
    ["", false],
    ["a/+", false],
    ["a#", false],
    ["a\0b", false],
  ])("takes %j for a topic name: %s", (name, expected) => {
    const bytes = Buffer.from(`__${name}__`);
    expect(isTopicName(bytes, 2, bytes.length - 2)).toBe(expected);
  });

  it.each([
    ["a/b", { group: "", filter: "a/b" }],
    ["#", { group: "", filter: "#" }],
    ["+/+/#", { group: "", filter: "+/+/#" }],
    ["$share/g/a/#", { group: "g", filter: "a/#" }],
    ["$share/g//", { group: "g", filter: "/" }],
    ["", undefined],
    ["a/#/b", undefined],
    ["a#", undefined],
    ["a+/b", undefined],
    ["$share/g", undefined],
    ["$share/g/", undefined],
    ["$share//a", undefined],
    ["$share/+/a", undefined],
  ])("reads the filter %j", (filterText, expected) => {
    expect(parseFilter(filterText)).toEqual(expected);
  });
});
