import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { forbiddenUses, MAX_LINES, tooLong } from "./forbidden.js";
import { listFiles, loadSources, parse, ROOT } from "./sources.js";

test("no source uses what is forbidden", () => {
  expect(loadSources().flatMap(forbiddenUses)).toEqual([]);
});

test("no file is too long", () => {
  const paths = listFiles((path) => /\.(ts|mjs|js|sh|go|c|proto)$/.test(path));
  expect(paths.length).toBeGreaterThan(50);
  expect(paths.flatMap((path) => tooLong(path, readFileSync(join(ROOT, path), "utf8")) ?? [])).toEqual([]);
});

describe("the search for what is forbidden", () => {
  test.each([
    ["the environment", "const port = process.env.PORT;", "reads process.env"],
    ["the console", 'console.log("here");', "writes to the console"],
    ["an enum", "export enum Colour { Red }", "declares an enum"],
    ["a lonely test", 'test.only("one", () => undefined);', "runs only one test"],
    ["a lonely suite", 'describe.only.each([1])("one", () => undefined);', "runs only one test"],
    ["the end of the process", "process.exit(1);", "ends the process"],
    ["a bare error", 'throw new Error("no");', "throws a bare Error"],
    ["a thrown string", 'throw "no";', "throws a bare Error"],
    ["an open end", "// TODO later", "leaves something to do"],
  ])("finds %s", (_what, text, complaint) => {
    expect(forbiddenUses(parse("packages/bus/src/a.ts", `\n${text}`)).join()).toMatch(
      new RegExp(`^packages/bus/src/a.ts:2 ${complaint}`),
    );
  });

  test.each([
    ["a timer", "await new Promise((resolve) => setTimeout(resolve, 5));"],
    ["a timer by its full name", "globalThis.setTimeout(resolve, 5);"],
    ["a timer of Node", 'import { setTimeout as delay } from "node:timers/promises";'],
    ["the real clock", "await systemClock.sleep(5);"],
    ["a held thread", "Atomics.wait(cell, 0, 0, 5);"],
  ])("finds a test that sleeps by %s, and lets other sources be", (_what, text) => {
    expect(forbiddenUses(parse("packages/bus/src/a.itest.ts", `\n${text}`)).join()).toMatch(
      /^packages\/bus\/src\/a\.itest\.ts:2 sleeps in a test/,
    );
    expect(forbiddenUses(parse("packages/bus/src/a.ts", text))).toEqual([]);
  });

  test("lets a test have a fake clock, a deadline of a socket and a load that ticks", () => {
    const text =
      "clock.setTimeout(f, 5); socket.setTimeout(5); await clock.sleep(5); setInterval(f, 1); const t = setTimeout(f, 5);";
    expect(forbiddenUses(parse("packages/bus/src/a.test.ts", text))).toEqual([]);
  });

  test("knows the owners, and is not misled by texts", () => {
    expect(forbiddenUses(parse("packages/config/src/a.ts", "export const env = process.env;"))).toEqual([]);
    expect(
      forbiddenUses(parse("packages/bus/src/a.ts", 'export const text = "console.log, process.env";')),
    ).toEqual([]);
  });

  test("finds a file that is too long, unless it is a table or generated", () => {
    const text = "x\n".repeat(MAX_LINES + 1);
    expect(tooLong("packages/bus/src/a.ts", text)).toContain(`${MAX_LINES + 1} lines`);
    expect(tooLong("packages/bus/src/a.ts", "x\n".repeat(MAX_LINES))).toBeUndefined();
    expect(tooLong("packages/bus/src/a.table.ts", text)).toBeUndefined();
    expect(tooLong("packages/contract/src/generated/a.ts", text)).toBeUndefined();
  });
});
