import { posix } from "node:path";
import { describe, expect, test } from "vitest";
import { registryLines, registryViolations } from "./registries.js";
import { listFolders, loadSources, parse, type Source } from "./sources.js";

// Registries of plugins load them on first use; a registry of something else may stand in a package.
const isPluginRegistry = (source: Source): boolean =>
  source.path.startsWith("services/") ||
  (registryLines(source)?.some(({ specifier }) => specifier !== undefined) ?? false);
const registries = loadSources().filter(
  (source) => source.path.endsWith("/registry.ts") && isPluginRegistry(source),
);

test("every plugin folder has its line, and every line its folder", () => {
  expect(registries.length).toBeGreaterThan(0);
  expect(registries.flatMap((one) => registryViolations(one, listFolders(posix.dirname(one.path))))).toEqual(
    [],
  );
});

describe("the check of registries", () => {
  const registry = (body: string) =>
    parse("services/x/src/drivers/registry.ts", `export const drivers = {${body}} satisfies DriverRegistry;`);
  const complete = `"modbus-rtu": () => import("./modbus-rtu/index.js"), simulated: () => import("./simulated/index.js")`;

  test("accepts folders and lines that agree", () => {
    expect(registryViolations(registry(complete), ["simulated", "modbus-rtu"])).toEqual([]);
  });

  test("finds a folder without a line", () => {
    expect(registryViolations(registry(complete), ["modbus-rtu", "simulated", "gpio"])).toEqual([
      "services/x/src/drivers/gpio has no line in registry.ts",
    ]);
  });

  test("finds a line without a folder", () => {
    expect(registryViolations(registry(complete), ["modbus-rtu"])).toEqual([
      'services/x/src/drivers/registry.ts names "simulated", which has no folder',
    ]);
  });

  test("finds a line that leads to another folder, or loads at once", () => {
    const lines = `a: () => import("./b/index.js"), b: () => Promise.resolve(b)`;
    expect(registryViolations(registry(lines), ["a", "b"])).toHaveLength(2);
  });

  test("finds a file that holds no registry", () => {
    expect(registryViolations(parse("services/x/src/drivers/registry.ts", "export {};"), [])).toHaveLength(1);
  });
});
