import { describe, expect, test } from "vitest";
import { missingDocstrings } from "./docstrings.js";
import { loadSources, parse, type Source } from "./sources.js";

const byPath = (sources: readonly Source[]): Map<string, Source> =>
  new Map(sources.map((one) => [one.path, one]));

test("every export of a package has a docstring", () => {
  const sources = byPath(loadSources());
  const indexes = [...sources.values()].filter(({ path }) => /^packages\/[^/]+\/src\/index\.ts$/.test(path));
  expect(indexes.length).toBeGreaterThan(5);
  expect(indexes.flatMap((index) => missingDocstrings(index, sources))).toEqual([]);
});

describe("the check of docstrings", () => {
  const missing = (index: string, file: string): string[] => {
    const sources = [parse("packages/x/src/index.ts", index), parse("packages/x/src/a.ts", file)];
    return missingDocstrings(sources[0] as Source, byPath(sources));
  };

  test.each([
    ['export { a } from "./a.js";', "export const a = 1;", 1],
    ['export * from "./a.js";', "export function a(): void {}", 1],
    ['export { type a as b } from "./a.js";', "export interface a {}", 1],
    ['export { a } from "./a.js";', "/** The file. */\n\nexport class a {}", 1],
    ['export { a } from "./a.js";', "// why\nexport type a = 1;", 1],
    ['export { a } from "./a.js";', "/** What it is for. */\nexport type a = 1;", 0],
    ['export { a } from "./a.js";', "/** What it is for. */\nexport const a = 1;\nexport const b = 2;", 0],
    ['export { thing } from "some-library";', "export const a = 1;", 0],
  ])("%j of %j: %i without", (index, file, count) => {
    expect(missing(index, file)).toHaveLength(count);
  });
});
