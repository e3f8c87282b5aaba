import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, test } from "vitest";
import { parse as parseYaml } from "yaml";
import {
  catalogueViolations,
  dependencyViolations,
  parseManifest,
  referenceViolations,
} from "./manifests.js";
import { listFiles, loadSources, parse, ROOT } from "./sources.js";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const manifests = listFiles((path) => posix.basename(path) === "package.json").map((path) =>
  parseManifest(posix.dirname(path) === "." ? "" : posix.dirname(path), read(path)),
);
const packages = manifests.filter(({ path }) => /^(packages|services)\//.test(path));

test("every version stands once, exactly, in the catalogue", () => {
  const { catalog } = parseYaml(read("pnpm-workspace.yaml")) as { catalog: Record<string, string> };
  expect(catalogueViolations(manifests, catalog)).toEqual([]);
});

test("every package declares what it imports", () => {
  expect(packages.flatMap((one) => dependencyViolations(one, loadSources()))).toEqual([]);
});

test("every package is built after what it needs", () => {
  const referencesOf = (path: string): string[] => {
    const file = `${path}/tsconfig.json`;
    const { references = [] } = parseYaml(existsSync(join(ROOT, file)) ? read(file) : "{}") as {
      references?: { path: string }[];
    };
    return references.map((one) => one.path);
  };
  expect(packages.flatMap((one) => referenceViolations(one, referencesOf(one.path)))).toEqual([]);
});

test("every package takes part in the tasks of turbo", () => {
  for (const { path } of packages) {
    const { scripts } = JSON.parse(read(`${path}/package.json`)) as { scripts?: Record<string, string> };
    expect({ path, build: scripts?.build, test: scripts?.test }).toEqual({
      path,
      build: "tsc -b",
      test: `vitest run --root ../.. ${path}/ --exclude '**/*.itest.ts' --passWithNoTests`,
    });
  }
});

describe("the check of manifests", () => {
  const manifest = parseManifest(
    "packages/bus",
    '{"dependencies":{"@myelin/kernel":"workspace:*","ajv":"catalog:"},"devDependencies":{"mqtt":"catalog:"}}',
  );

  test("finds versions outside of the catalogue, unused and inexact ones", () => {
    const loose = parseManifest(
      "packages/x",
      '{"dependencies":{"ajv":"^8.0.0","@myelin/kernel":"catalog:"}}',
    );
    expect(catalogueViolations([loose], { ajv: "8.20.0", left: "1.0.0", right: "^1.0.0" })).toEqual([
      "packages/x/package.json gives ajv the version ^8.0.0 outside of the catalogue",
      "packages/x/package.json gives @myelin/kernel the version catalog: outside of the catalogue",
      "the catalogue's version of right is not exact: ^1.0.0",
      "the catalogue names left, which nobody uses",
      "the catalogue names right, which nobody uses",
    ]);
    expect(catalogueViolations([manifest], { ajv: "8.20.0", mqtt: "5.16.0" })).toEqual([]);
  });

  test("finds imports that are not declared, and lets tests use development dependencies", () => {
    const undeclared = (path: string, text: string) => dependencyViolations(manifest, [parse(path, text)]);
    expect(
      undeclared("packages/bus/src/a.ts", 'import "ajv/dist/x.js"; import "node:fs"; import "./b.js";'),
    ).toEqual([]);
    expect(undeclared("packages/bus/src/a.test.ts", 'import "mqtt"; import "vitest";')).toEqual([]);
    expect(undeclared("packages/bus/src/a.ts", 'import "mqtt";')).toHaveLength(1);
    expect(undeclared("packages/bus/src/a.ts", 'import "@nats-io/kv";')).toEqual([
      "packages/bus/src/a.ts:1 imports @nats-io/kv, which packages/bus/package.json does not declare",
    ]);
  });

  test("finds a workspace dependency that the compiler does not know", () => {
    expect(referenceViolations(manifest, ["../kernel"])).toEqual([]);
    expect(referenceViolations(manifest, [])).toEqual([
      "packages/bus/tsconfig.json does not refer to @myelin/kernel",
    ]);
  });
});
