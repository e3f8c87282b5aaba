/** Static configuration: defaults, file, environment, command line; read once, then frozen. */
import { readFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { checkValue, formatPath, formatValue, type Problem, type ValuePath } from "../schema/check.js";
import type { Infer, Schema } from "../schema/schema.js";
import { type Environment, readEnvironment } from "./environment.js";
import { resolveSecrets } from "./secrets.js";

/** A value that a command-line option sets; it wins over every other source. */
export interface Override {
  readonly path: ValuePath;
  readonly value: unknown;
  /** As the user typed it, for example `--data-dir`. */
  readonly source: string;
}

/** The root of `schema` is an object of sections, so that every path has at least two steps. */
export interface LoadOptions<S extends Schema> {
  readonly schema: S;
  readonly file?: string | undefined;
  /** Left out: the environment of the process. */
  readonly environment?: Environment;
  readonly overrides?: readonly Override[];
  /** Sections of services that other processes run: allowed in the file and the environment, and not looked at. */
  readonly foreignSections?: readonly string[];
}

/** One thing that is wrong, with where it was written. */
export interface ConfigProblem {
  readonly path: string;
  readonly value: string;
  readonly rule: string;
  readonly source: string;
}

/** What a process runs with. */
export interface LoadedConfig<T> {
  readonly value: T;
  /** Where the value of a path was set: `default`, `file:line`, a variable or an option. */
  sourceOf(path: ValuePath): string;
}

interface Layered {
  readonly tree: Record<string, unknown>;
  readonly sources: Map<string, string>;
}

/**
 * Reads and checks everything that the process is told at its start.
 * @throws AppError `config.unreadable` when the file cannot be read, `config.invalid` with every problem in the message
 *   and in `details.problems`, `config.secret_unavailable` when only secrets are missing.
 */
export async function loadConfig<S extends Schema>(options: LoadOptions<S>): Promise<LoadedConfig<Infer<S>>> {
  const { schema, file, environment = process.env, overrides = [], foreignSections = [] } = options;
  const layered: Layered = { tree: {}, sources: new Map() };
  let lineOf: ((path: ValuePath) => number) | undefined;
  if (file !== undefined) lineOf = await readFileLayer(file, layered, foreignSections);
  const fromEnvironment = readEnvironment(schema, environment, foreignSections);
  for (const { path, value, source } of [...fromEnvironment.settings, ...overrides]) {
    setAt(layered.tree, path, value);
    layered.sources.set(JSON.stringify(path), source);
  }

  const sourceOf = (path: ValuePath): string => {
    for (let depth = path.length; depth > 0; depth--) {
      const source = layered.sources.get(JSON.stringify(path.slice(0, depth)));
      if (source !== undefined) return source;
    }
    if (lineOf !== undefined && isGiven(layered.tree, path)) return `${file}:${lineOf(path)}`;
    return "default";
  };
  const withSource = (problem: Problem): ConfigProblem =>
    describe(
      problem,
      problem.value === undefined && lineOf !== undefined ? (file as string) : sourceOf(problem.path),
    );

  const { value, problems } = checkValue(schema, layered.tree);
  const all = [...problems.map(withSource), ...fromEnvironment.problems.map((p) => describe(p, p.source))];
  if (all.length > 0) throw configError("config.invalid", all);
  const secretProblems = await resolveSecrets(schema, value, environment);
  if (secretProblems.length > 0)
    throw configError("config.secret_unavailable", secretProblems.map(withSource));
  return { value: deepFreeze(value), sourceOf };
}

async function readFileLayer(
  file: string,
  layered: Layered,
  foreignSections: readonly string[],
): Promise<(path: ValuePath) => number> {
  const text = await readFile(file, "utf8").catch((cause: NodeJS.ErrnoException) => {
    throw new AppError("config.unreadable", `cannot read the configuration ${file}: ${cause.code}`, {
      cause,
    });
  });
  const { parseYaml } = await import("./yaml.js");
  const { documents, errors } = await parseYaml(text);
  if (errors.length > 0) {
    const lines = errors.map((e) => `${file}:${e.line}: ${e.message}`);
    throw new AppError("config.unreadable", `the configuration is not YAML\n${lines.join("\n")}`);
  }
  const [document] = documents;
  if (document === undefined) return () => 1;
  if (documents.length > 1)
    throw new AppError("config.unreadable", `${file} must hold one document, not several`);
  if (typeof document.value !== "object" || Array.isArray(document.value)) {
    throw new AppError("config.unreadable", `${file} must hold a mapping of sections`);
  }
  Object.assign(layered.tree, document.value);
  for (const section of foreignSections) delete layered.tree[section];
  return (path) => document.lineOf(path);
}

function setAt(tree: Record<string, unknown>, path: ValuePath, value: unknown): void {
  let node = tree;
  for (const step of path.slice(0, -1)) {
    const inner = Object.hasOwn(node, step) ? node[step] : undefined;
    const next = typeof inner === "object" && inner !== null && !Array.isArray(inner) ? { ...inner } : {};
    node[step] = next;
    node = next as Record<string, unknown>;
  }
  node[path.at(-1) as string] = value;
}

function isGiven(tree: unknown, path: ValuePath): boolean {
  let node = tree;
  for (const step of path) {
    if (typeof node !== "object" || node === null || !Object.hasOwn(node, step)) return false;
    node = (node as Record<string | number, unknown>)[step];
  }
  return true;
}

function describe({ path, value, rule }: Problem, source: string): ConfigProblem {
  return { path: formatPath(path), value: formatValue(value), rule, source };
}

function configError(
  code: "config.invalid" | "config.secret_unavailable",
  problems: ConfigProblem[],
): AppError {
  const lines = problems.map((p) => `  ${p.path}: ${p.value} must be ${p.rule} (${p.source})`);
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return new AppError(code, `the configuration has ${count}\n${lines.join("\n")}`, { details: { problems } });
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
