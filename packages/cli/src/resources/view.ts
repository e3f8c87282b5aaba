/** Resources as they are shown: what is declared, with what is said of it. */
import type { Declared, ResourceFolder } from "./folder.js";
import type { Selection } from "./kinds.js";
import type { Condition, Figures, Statuses } from "./status.js";

/** One resource; `conditions` is undefined where nobody could be asked. */
export interface View {
  readonly declared: Declared;
  readonly conditions: readonly Condition[] | undefined;
  /** Undefined: nobody counts anything of it. */
  readonly figures: Figures | undefined;
}

/** Those that are meant, by kind and name, and what was named and is not there. */
export function select(
  folder: ResourceFolder,
  selections: readonly Selection[],
  statuses: Statuses | undefined,
): { readonly views: readonly View[]; readonly missing: readonly { kind: string; name: string }[] } {
  const views: View[] = [];
  const missing: { kind: string; name: string }[] = [];
  for (const { kind, names } of selections) {
    const own = folder.documents
      .filter((d) => d.kind === kind)
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    for (const name of names) if (!own.some((d) => d.name === name)) missing.push({ kind, name });
    const meant = names.length === 0 ? own : own.filter((d) => names.includes(d.name));
    for (const declared of meant) {
      views.push({
        declared,
        conditions: statuses && (statuses.conditions.get(`${kind}/${declared.name}`) ?? []),
        figures: statuses?.figures.get(`${kind}/${declared.name}`),
      });
    }
  }
  return { views, missing };
}

/** As a resource of Kubernetes: the wish as it is written, and what became of it. `apply` takes it back. */
export function asObject({ declared, conditions, figures }: View): Readonly<Record<string, unknown>> {
  const value = (declared.value ?? {}) as Record<string, unknown>;
  const metadata = { ...(value.metadata as object | undefined), generation: declared.generation };
  return { ...value, metadata, ...(conditions !== undefined && { status: { conditions, ...figures } }) };
}

/**
 * A condition in one word: `Pending` while it is said of another version of the spec, `Earlier` where an earlier one is ready, `Unknown`
 * where nobody says anything.
 */
export function wordFor({ declared, conditions }: View, type: string): string {
  const condition = conditions?.find((c) => c.type === type);
  if (condition === undefined) return "Unknown";
  if (condition.observedGeneration === declared.generation) return condition.status;
  if (type === "Accepted") return "Pending";
  return condition.status === "True" ? "Earlier" : condition.status;
}

/** Why it does not stand as it should; empty when it does. */
export function troubleOf({ declared, conditions = [] }: View): { reason: string; message: string } {
  const wrong = conditions.find(({ status }) => status !== "True");
  if (wrong !== undefined) return wrong;
  const [problem] = declared.problems;
  if (problem === undefined) return { reason: "", message: "" };
  return { reason: "Invalid", message: `${problem.path}: ${problem.value} must be ${problem.rule}` };
}
