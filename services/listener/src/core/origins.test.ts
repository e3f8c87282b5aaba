import { hostname } from "node:os";
import { checkValue } from "@myelin/config";
import { describe, expect, it } from "vitest";
import { hostCheck, originCheck, originsSchema } from "./origins.js";

describe("without allowed origins", () => {
  const allows = originCheck([]);

  it.each(["http://localhost", "https://localhost:5173", "http://127.0.0.1:8080", "http://[::1]:3000"])(
    "the loopback origin %s is let in",
    (origin) => expect(allows(origin)).toBe(true),
  );

  it.each([
    "https://evil.example",
    "https://localhost.evil.example",
    "https://evil.example/localhost",
    "http://localhost@evil.example",
    "http://127.0.0.1.evil.example",
    "http://localhost, https://evil.example",
    "localhost",
    "null",
    "",
  ])("the origin '%s' is not", (origin) => expect(allows(origin)).toBe(false));
});

it("lets in an allowed origin, with its scheme and port only", () => {
  const allows = originCheck(["https://panel.example:8443"]);
  const asked = ["https://panel.example:8443", "http://panel.example:8443", "https://panel.example"];
  expect(asked.map(allows)).toEqual([true, false, false]);
});

it("lets in every origin for *", () => {
  const allows = originCheck(["*"]);
  expect(["https://any.example", "null"].map(allows)).toEqual([true, true]);
});

it.each([
  ["*", true],
  ["https://panel.example", true],
  ["http://[fe80::1]:8080", true],
  ["https://panel.example/", false],
  ["https://Panel.example", false],
  ["panel.example", false],
  ["null", false],
])("the setting takes %s: %s", (origin, good) => {
  expect(checkValue(originsSchema, [origin]).problems.length === 0).toBe(good);
});

describe("who is trusted for being on this machine", () => {
  const local = { tenant: "", deviceId: "d", user: "", local: true };
  const check = hostCheck(["*", "https://panel.example:8443"]);

  it.each([
    undefined,
    "localhost:8080",
    "localhost.",
    "box.localhost",
    "127.0.0.1:8080",
    "[::1]:8080",
    "192.168.1.5",
    hostname(),
    "panel.example",
  ])("may call it %s", (host) => {
    expect(() => check(local, host)).not.toThrow();
  });

  it.each([
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "",
    "a b",
    "u@evil.example",
  ])("may not call it '%s'", (host) => {
    const code = "auth.not_authorized";
    expect(() => check(local, "localhost")).not.toThrow();
    expect(() => check(local, host)).toThrow(expect.objectContaining({ code }));
    expect(() => check({ ...local, local: false }, host)).not.toThrow();
  });
});
