import { describe, expect, test } from "vitest";
import { importCycles } from "./cycles.js";
import { loadSources, parse } from "./sources.js";

test("no file imports itself, however far round", () => {
  expect(importCycles(loadSources())).toEqual([]);
});

describe("the search for circles", () => {
  test("finds a circle of three files, through re-exports and dynamic imports", () => {
    const sources = [
      parse("packages/x/src/a.ts", 'export { b } from "./b.js";'),
      parse("packages/x/src/b.ts", 'export const b = () => import("./deep/c.js");'),
      parse("packages/x/src/deep/c.ts", 'import { b } from "../a.js";'),
    ];
    expect(importCycles(sources)).toEqual([
      "packages/x/src/a.ts → packages/x/src/b.ts → packages/x/src/deep/c.ts → packages/x/src/a.ts",
    ]);
  });

  test("takes a circle that types alone close for none", () => {
    const sources = [
      parse("packages/x/src/a.ts", 'import { b } from "./b.js";'),
      parse("packages/x/src/b.ts", 'import type { A } from "./a.js"; export type { B } from "./a.js";'),
    ];
    expect(importCycles(sources)).toEqual([]);
    const loading = parse("packages/x/src/b.ts", 'import { type A } from "./a.js";');
    expect(importCycles([...sources.slice(0, 1), loading])).toHaveLength(1);
  });

  test("takes two ways to the same file for no circle", () => {
    const sources = [
      parse("packages/x/src/a.ts", 'import "./b.js"; import "./c.js";'),
      parse("packages/x/src/b.ts", 'import "./c.js";'),
      parse("packages/x/src/c.ts", "export const c = 1;"),
    ];
    expect(importCycles(sources)).toEqual([]);
  });
});
