import fc from "fast-check";
import { expect, it } from "vitest";
import { globToRegExp, isTopicFilter, isTopicName, topicMatches } from "./topics.js";

it.each([
  ["sport/tennis/player1/#", "sport/tennis/player1", true],
  ["sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true],
  ["sport/#", "sport", true],
  ["#", "a/b", true],
  ["sport/tennis/+", "sport/tennis/player1", true],
  ["sport/tennis/+", "sport/tennis/player1/ranking", false],
  ["sport/+", "sport", false],
  ["sport/+", "sport/", true],
  ["+/+", "/finance", true],
  ["/+", "/finance", true],
  ["+", "/finance", false],
  ["#", "$SYS/uptime", false],
  ["+/monitor/Clients", "$SYS/monitor/Clients", false],
  ["$SYS/#", "$SYS/monitor/Clients", true],
])("matches %s against %s as MQTT 5 4.7 says: %s", (filter, topic, expected) => {
  expect(topicMatches(filter, topic)).toBe(expected);
});

it.each([
  ["a/#", true],
  ["#", true],
  ["+", true],
  ["+/a/#", true],
  ["", false],
  ["a#", false],
  ["a/#/b", false],
  ["a+/b", false],
  ["a\0b", false],
])("takes %j for a filter: %s", (filter, expected) => {
  expect(isTopicFilter(filter)).toBe(expected);
});

it("refuses wildcards and NUL in topic names", () => {
  expect(isTopicName("a/b")).toBe(true);
  for (const bad of ["", "a/+", "#", "a\0"]) expect(isTopicName(bad)).toBe(false);
});

it("lets every topic match itself and its own prefix filter", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }).filter(isTopicName), (topic) => {
      expect(topicMatches(topic, topic)).toBe(true);
      expect(topicMatches(`${topic}/#`, topic)).toBe(true);
    }),
  );
});

it("reads globs literally but for * and ?", () => {
  expect(globToRegExp("boiler-*").test("boiler-12")).toBe(true);
  expect(globToRegExp("a.b").test("axb")).toBe(false);
  expect(globToRegExp("a?c").test("abc")).toBe(true);
  expect(globToRegExp("a*").test("ba")).toBe(false);
});
