/** Resources as the rest of the code sees them, wherever they come from. */
import { AppError } from "@myelin/kernel";
import type { AnyKind, API_VERSION, Metadata, SpecOf } from "../kinds/kind.js";
import type { kinds } from "../kinds/registry.js";

/** The kinds there are. */
export type Kind = keyof typeof kinds;

/** One resource, checked, complete and frozen. */
export interface Resource<K extends Kind = Kind> {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: K;
  readonly metadata: Metadata;
  readonly spec: SpecOf<(typeof kinds)[K]>;
}

/** `active`: in force as written. `stale`: refused, an earlier version is in force. `refused`: nothing of it is in force. */
export type ResourceState = "active" | "stale" | "refused";

/** Where and why something was refused; `line` is 0 where the source has no lines. */
export interface ResourceProblem {
  readonly source: string;
  readonly line: number;
  readonly path: string;
  readonly value: string;
  readonly rule: string;
}

/** One resource or, where a file cannot even be parsed, one file; then `kind` and `name` are empty. */
export interface ResourceStatus {
  readonly kind: string;
  readonly name: string;
  readonly source: string;
  /** Of the spec as the source has it now, see `generationOf`; 0 for a file. */
  readonly generation: number;
  readonly state: ResourceState;
  readonly problems: readonly ResourceProblem[];
}

/** Everything in force at one moment; `revision` grows by one with each change. */
export interface Snapshot {
  readonly revision: number;
  readonly resources: readonly Resource[];
}

/** Where resources come from; files and Kubernetes yield the same objects. */
export interface ResourceSource {
  /**
   * Yields what is in force at once and after each change; unchanged states are dropped, and a slow reader gets the
   * latest only. Ends when the signal aborts. One reader at a time.
   */
  watch(signal: AbortSignal): AsyncIterable<Snapshot>;
  /** What became of each resource, refused ones included; for `/resources` and the command line. */
  statuses(): readonly ResourceStatus[];
}

/** The resources of one kind, by name. */
export function resourcesOf<K extends Kind>(snapshot: Snapshot, kind: K): readonly Resource<K>[] {
  const found = snapshot.resources.filter((r): r is Resource<K> => r.kind === kind);
  return found.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** A problem as one line: `routes.yaml:12: spec.targets[0]: {} must be exactly one of …`. */
export function formatResourceProblem(problem: ResourceProblem): string {
  const { source, line, path, value, rule } = problem;
  return `${source}:${line}: ${path}: ${value} must be ${rule}`;
}

/** Refusals as an error, for callers that have someone to tell, such as a command that checks a file. */
export function resourceError(problems: readonly ResourceProblem[]): AppError {
  const lines = problems.map((p) => `  ${formatResourceProblem(p)}`);
  return new AppError("config.invalid_resource", `resources were refused\n${lines.join("\n")}`, {
    details: { problems },
  });
}

/** A registry lookup that is safe for names such as `toString`. */
export function findKind(registry: Readonly<Record<string, AnyKind>>, name: string): AnyKind | undefined {
  return Object.hasOwn(registry, name) ? registry[name] : undefined;
}
