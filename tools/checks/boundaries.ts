/** Holds the layers: which file may import which package, library and plugin. */
import { posix } from "node:path";
import {
  FREE_OF_VENDOR_RULES,
  LAYERS,
  LEVEL,
  ONE_FILE_EACH,
  TEST_HELPERS,
  TESTKIT_USERS,
  VENDORS,
  WHOLE_SYSTEM_TESTS,
} from "./layers.table.js";
import { type Import, isTest, projectOf, resolveRelative, type Source } from "./sources.js";

/** The `exports` of a package, by its name without the scope: the sub-paths that may be entered. */
export type Entrances = ReadonlyMap<string, readonly string[]>;

/** One sentence for each import that breaks a rule. */
export function boundaryViolations(sources: readonly Source[], entrances: Entrances): string[] {
  const kinds = pluginKinds(sources);
  const found = sources.flatMap((source) =>
    source.imports.flatMap((one) => {
      const complaint = complaintAbout(source, one, entrances, kinds);
      return complaint === undefined ? [] : [`${source.path}:${one.line} ${complaint}`];
    }),
  );
  return [...found, ...manyImporters(sources)];
}

function complaintAbout(
  source: Source,
  one: Import,
  entrances: Entrances,
  kinds: readonly string[],
): string | undefined {
  const { specifier } = one;
  if (specifier.startsWith(".")) return complaintAboutRelative(source.path, specifier, kinds);
  if (specifier.startsWith("node:")) return undefined;
  if (specifier.startsWith("@myelin/")) return complaintAboutOwn(source.path, specifier, entrances);
  return complaintAboutVendor(source.path, specifier);
}

function complaintAboutOwn(path: string, specifier: string, entrances: Entrances): string | undefined {
  const [, name = "", ...rest] = specifier.split("/");
  const entrance = rest.length === 0 ? "." : `./${rest.join("/")}`;
  const project = projectOf(path);
  const self = project.split("/")[1] ?? "";
  // A bench measures its package as others see it.
  if (name === self) {
    return path.endsWith(".bench.ts") ? undefined : `imports its own package by name: ${specifier}`;
  }
  const test = isTest(path);
  if (name === "testkit" && !test && !TESTKIT_USERS.includes(project))
    return "imports the test kit outside of a test";
  const allowed = LAYERS[project];
  if (allowed === undefined) return `belongs to no layer; add ${project} to layers.table.ts`;
  const helpers = test ? [...TEST_HELPERS, ...besides(path)] : [];
  if (allowed !== "anything" && !allowed.includes(name) && !helpers.includes(name)) {
    return `may not import ${specifier}`;
  }
  if (!entrances.get(name)?.includes(entrance))
    return `enters ${specifier}, which its package does not export`;
  if (entrance === "./internal" && LEVEL[name] !== LEVEL[self])
    return `enters ${specifier} from another layer`;
  return undefined;
}

const besides = (path: string): readonly string[] =>
  Object.entries(WHOLE_SYSTEM_TESTS).find(([folder]) => path.startsWith(folder))?.[1] ?? [];

function complaintAboutVendor(path: string, specifier: string): string | undefined {
  if (isTest(path) || FREE_OF_VENDOR_RULES.includes(projectOf(path))) return undefined;
  const owners = Object.entries(VENDORS).find(([library]) => isLibrary(specifier, library))?.[1];
  if (owners === undefined) return `imports ${specifier}, which has no owner in layers.table.ts`;
  if (owners.some((owner) => path.startsWith(owner))) return undefined;
  return `imports ${specifier}, which belongs to ${owners.join(" and ") || "tests"}`;
}

function isLibrary(specifier: string, library: string): boolean {
  if (library.endsWith("*")) return specifier.startsWith(library.slice(0, -1));
  return specifier === library || specifier.startsWith(`${library}/`);
}

function complaintAboutRelative(
  path: string,
  specifier: string,
  kinds: readonly string[],
): string | undefined {
  const target = resolveRelative(path, specifier) ?? "";
  if (projectOf(target) !== projectOf(path)) return `leaves its package with ${specifier}`;
  if (!specifier.endsWith(".js") && !specifier.endsWith(".json"))
    return `imports ${specifier} without its ending .js`;
  if (isTest(path)) return undefined;
  const own = pluginOf(path, kinds);
  const other = pluginOf(target, kinds);
  if (other !== undefined && own !== undefined && own !== other) return `imports another plugin: ${other}`;
  if (isRegistry(path)) return undefined;
  if (isCore(path) && (other !== undefined || isRegistry(target)))
    return `is core and imports a plugin: ${specifier}`;
  if (own === undefined && other !== undefined) return `imports a plugin past its registry: ${specifier}`;
  return undefined;
}

const isCore = (path: string): boolean => /^services\/[^/]+\/src\/core\//.test(path);
const isRegistry = (path: string): boolean => path.endsWith("/registry.ts");

/** The folders of services that hold plugins: those with a registry. */
function pluginKinds(sources: readonly Source[]): string[] {
  const registries = sources.filter(({ path }) => path.startsWith("services/") && isRegistry(path));
  return registries.map(({ path }) => `${posix.dirname(path)}/`);
}

/** The plugin's folder when the file lies in one. */
function pluginOf(path: string, kinds: readonly string[]): string | undefined {
  const kind = kinds.find((one) => path.startsWith(one));
  const rest = kind === undefined ? [] : path.slice(kind.length).split("/");
  return rest.length > 1 ? `${kind}${rest[0]}` : undefined;
}

function manyImporters(sources: readonly Source[]): string[] {
  return ONE_FILE_EACH.flatMap((library) => {
    const importers = sources.filter(
      ({ path, imports }) =>
        !isTest(path) &&
        !FREE_OF_VENDOR_RULES.includes(projectOf(path)) &&
        imports.some(({ specifier, typeOnly }) => !typeOnly && isLibrary(specifier, library)),
    );
    if (importers.length <= 1) return [];
    return [`${library} is imported by more than one file: ${importers.map(({ path }) => path).join(", ")}`];
  });
}

// Core says what a plugin's schema is, in the type of the one schema library; it builds none.
const SCHEMA_LIBRARY = "typebox";

/** In a service, `core/` knows no library at all: what it needs comes through its interfaces. */
export function coreVendorViolations(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path }) => isCore(path) && !isTest(path))
    .flatMap(({ path, imports }) =>
      imports
        .filter(({ specifier }) => !/^(\.|node:|@myelin\/)/.test(specifier))
        .filter(({ specifier, typeOnly }) => !(typeOnly && specifier === SCHEMA_LIBRARY))
        .map(({ specifier, line }) => `${path}:${line} is core and imports the library ${specifier}`),
    );
}
