import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { boundaryViolations, coreVendorViolations, type Entrances } from "./boundaries.js";
import { listFiles, loadSources, parse, ROOT } from "./sources.js";

const entrances: Entrances = new Map(
  listFiles((path) => /^(packages|services)\/[^/]+\/package\.json$/.test(path)).map((path) => {
    const { name, exports } = JSON.parse(readFileSync(join(ROOT, path), "utf8")) as {
      name: string;
      exports: Record<string, unknown>;
    };
    return [name.replace("@myelin/", ""), Object.keys(exports)];
  }),
);

const violationsOf = (path: string, text: string, others: Record<string, string> = {}): string[] => {
  const sources = [[path, text], ...Object.entries(others)].map(([one = "", content = ""]) =>
    parse(one, content),
  );
  return [...boundaryViolations(sources, entrances), ...coreVendorViolations(sources)];
};

test("every import keeps to its layer, its owner and its plugin", () => {
  expect([...boundaryViolations(loadSources(), entrances), ...coreVendorViolations(loadSources())]).toEqual(
    [],
  );
});

describe("the check of boundaries", () => {
  const registry = { "services/listener/src/protocols/registry.ts": "export const protocols = {};" };

  test.each([
    ["a package of a higher layer", "packages/kernel/src/a.ts", 'import "@myelin/bus";', "may not import"],
    [
      "a type of a higher layer",
      "packages/bus/src/a.ts",
      'import type { X } from "@myelin/config";',
      "may not import",
    ],
    ["another service", "services/listener/src/a.ts", 'import "@myelin/dispatcher";', "may not import"],
    [
      "another service in a test",
      "services/listener/src/a.test.ts",
      'import "@myelin/dispatcher";',
      "may not",
    ],
    [
      "the test kit outside of tests",
      "services/listener/src/a.ts",
      'import "@myelin/testkit";',
      "outside of a test",
    ],
    [
      "a path that is not exported",
      "packages/bus/src/a.ts",
      'import "@myelin/kernel/src/x.js";',
      "does not export",
    ],
    [
      "the sources of another package",
      "packages/bus/src/a.ts",
      'import "../../kernel/src/x.js";',
      "leaves its package",
    ],
    ["its own package by name", "packages/bus/src/a.ts", 'import "@myelin/bus";', "its own package"],
    [
      "a library of another owner",
      "packages/bus/src/a.ts",
      'export * from "@nats-io/nats-core";',
      "belongs to",
    ],
    ["a library without an owner", "packages/bus/src/a.ts", 'await import("left-pad");', "has no owner"],
    ["a file without its ending", "packages/bus/src/a.ts", 'import "./b";', "without its ending"],
    ["a package without a layer", "packages/new/src/a.ts", 'import "@myelin/kernel";', "belongs to no layer"],
    ["a library in core", "services/listener/src/core/a.ts", 'import { X } from "typebox";', "is core"],
  ])("finds an import of %s", (_what, path, text, complaint) => {
    expect(violationsOf(path, text).join("\n")).toContain(complaint);
  });

  test.each([
    [
      "core imports a plugin",
      "core/a.ts",
      'import "../protocols/mqtt/index.js";',
      "is core and imports a plugin",
    ],
    [
      "core imports a registry",
      "core/a.ts",
      'import "../protocols/registry.js";',
      "is core and imports a plugin",
    ],
    ["a plugin imports its sibling", "protocols/tcp/a.ts", 'import "../mqtt/codec.js";', "another plugin"],
    [
      "the wiring passes a registry by",
      "service.ts",
      'import "./protocols/mqtt/index.js";',
      "past its registry",
    ],
  ])("finds that %s", (_what, path, text, complaint) => {
    expect(violationsOf(`services/listener/src/${path}`, text, registry).join("\n")).toContain(complaint);
  });

  test("finds a second file that imports a library of one file", () => {
    const others = { "packages/observability/src/b.ts": 'import { pino } from "pino";' };
    expect(violationsOf("packages/observability/src/a.ts", 'import { pino } from "pino";', others)).toEqual([
      "pino is imported by more than one file: packages/observability/src/a.ts, packages/observability/src/b.ts",
    ]);
  });

  test("lets pass what the rules allow", () => {
    const text =
      'import "node:net"; import "@myelin/bus"; import "../../core/protocol.js"; import "./codec.js";';
    expect(violationsOf("services/listener/src/protocols/mqtt/index.ts", text, registry)).toEqual([]);
    expect(
      violationsOf("services/listener/src/a.itest.ts", 'import "mqtt"; import "@myelin/testkit";'),
    ).toEqual([]);
  });
});
