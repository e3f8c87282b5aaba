/** Holds the package.json files to the catalogue, and the imports to the package.json files. */
import { isTest, projectOf, type Source } from "./sources.js";

/** What the check reads of a package.json; `path` is its folder, "" for the root. */
export interface Manifest {
  readonly path: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

/** Picks what matters out of a package.json's text. */
export function parseManifest(path: string, text: string): Manifest {
  const { dependencies = {}, devDependencies = {} } = JSON.parse(text) as Partial<Manifest>;
  return { path, dependencies, devDependencies };
}

/** Versions stand in the catalogue, each is exact, and each is used. */
export function catalogueViolations(
  manifests: readonly Manifest[],
  catalogue: Readonly<Record<string, string>>,
): string[] {
  const all = manifests.flatMap(({ path, dependencies, devDependencies }) =>
    [...Object.entries(dependencies), ...Object.entries(devDependencies)].map(([name, range]) => ({
      path,
      name,
      range,
    })),
  );
  const used = new Set(all.map(({ name }) => name));
  return [
    ...all
      .filter(({ name, range }) => range !== (name.startsWith("@myelin/") ? "workspace:*" : "catalog:"))
      .map(
        ({ path, name, range }) =>
          `${path}/package.json gives ${name} the version ${range} outside of the catalogue`,
      ),
    ...Object.entries(catalogue)
      .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
      .map(([name, version]) => `the catalogue's version of ${name} is not exact: ${version}`),
    ...Object.keys(catalogue)
      .filter((name) => !used.has(name))
      .map((name) => `the catalogue names ${name}, which nobody uses`),
  ];
}

/** Sources import declared dependencies only, tests also development ones; and nothing is declared in vain. */
export function dependencyViolations(manifest: Manifest, sources: readonly Source[]): string[] {
  const { path, dependencies, devDependencies } = manifest;
  const found: string[] = [];
  const used = new Set<string>();
  for (const source of sources) {
    if (projectOf(source.path) !== path) continue;
    for (const { specifier, line, typeOnly } of source.imports) {
      if (/^(\.|node:)/.test(specifier)) continue;
      const name = packageOf(specifier);
      used.add(name).add(`@types/${name}`);
      const loose = isTest(source.path) || typeOnly;
      // Its own package, which a bench imports.
      if (name === `@myelin/${path.split("/").at(-1)}`) continue;
      if (name in dependencies || (loose && name in devDependencies) || isTestTool(name, loose)) continue;
      found.push(`${source.path}:${line} imports ${name}, which ${path}/package.json does not declare`);
    }
  }
  return found;
}

/** `@scope/name/sub` and `name/sub` belong to `@scope/name` and `name`. */
function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

// The root brings the test tools for everybody.
function isTestTool(name: string, loose: boolean): boolean {
  return loose && ["vitest", "fast-check"].includes(name);
}

/** A package is compiled after what it needs: its tsconfig refers to every one of its workspace dependencies. */
export function referenceViolations(manifest: Manifest, references: readonly string[]): string[] {
  const names = Object.keys(manifest.dependencies).filter((name) => name.startsWith("@myelin/"));
  const referred = new Set(references.map((one) => one.replace(/\/$/, "").split("/").at(-1)));
  return names
    .filter((name) => !referred.has(name.replace("@myelin/", "")))
    .map((name) => `${manifest.path}/tsconfig.json does not refer to ${name}`);
}
