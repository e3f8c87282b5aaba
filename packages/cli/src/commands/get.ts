/** `myelin get`: what is declared, and how it stands with it. */
import { formatYaml, type Kind, printerColumns } from "@myelin/config";
import { AppError, systemClock } from "@myelin/kernel";
import { EXIT, note, print, printable, printJson } from "../output.js";
import { folderOf, type ResourceOptions, statusesOf } from "../resources/box-folder.js";
import { placeOf, ResourceFolder } from "../resources/folder.js";
import { reference, selectionsOf } from "../resources/kinds.js";
import { asObject, select, troubleOf, type View, wordFor } from "../resources/view.js";
import { table } from "./operator-lists.js";

/** What is counted of a kind and stands in its table, by the name of the figure. */
const FIGURE_COLUMNS: Readonly<Partial<Record<Kind, Readonly<Record<string, string>>>>> = {
  Bridge: { queuedMessages: "queued", droppedMessages: "dropped" },
};

/** Forms in which resources are printed. */
export const GET_OUTPUTS = ["table", "wide", "json", "yaml", "name"] as const;

export interface GetOptions extends ResourceOptions {
  readonly output: (typeof GET_OUTPUTS)[number];
}

/** Exit code 1 when one that was named is not there. @throws AppError `config.unknown_kind`, `config.invalid` */
export async function get(words: readonly string[], options: GetOptions): Promise<number> {
  const selections = selectionsOf(words);
  const folder = await ResourceFolder.load(folderOf(options));
  const output = options.json ? "json" : options.output;
  const statuses = output === "name" ? undefined : await statusesOf(options);
  const { views, missing } = select(folder, selections, statuses);
  const isOne = selections.length === 1 && selections[0]?.names.length === 1;
  if (output === "name") for (const { declared } of views) print(reference(declared.kind, declared.name));
  else if (output === "json") printJsonOf(views, isOne);
  else if (output === "yaml") await printYaml(views);
  else printTables(views, output === "wide", selections.length > 1);
  for (const problem of statuses?.files ?? []) note(printable(problem));
  if (missing.length === 0) return EXIT.ok;
  const all = missing.map(({ kind, name }) => reference(kind, name));
  throw new AppError("resource.unknown", `There is no ${all.join(" and no ")}.`);
}

function printJsonOf(views: readonly View[], isOne: boolean): void {
  const items = views.map(asObject);
  if (!isOne) printJson({ apiVersion: "v1", kind: "List", items });
  else if (items[0] !== undefined) printJson(items[0]);
}

async function printYaml(views: readonly View[]): Promise<void> {
  for (const [i, view] of views.entries()) {
    if (i > 0) print("---");
    print((await formatYaml(asObject(view))).trimEnd());
  }
}

function printTables(views: readonly View[], isWide: boolean, isMixed: boolean): void {
  if (views.length === 0) note("Nothing of that is declared.");
  const byKind = Map.groupBy(views, ({ declared }) => declared.kind as Kind);
  for (const [kind, own] of byKind) {
    const columns = printerColumns[kind] ?? [];
    const counted = Object.entries(FIGURE_COLUMNS[kind] ?? {});
    table(
      [
        "name",
        ...columns.map(({ name }) => name.toLowerCase()),
        "accepted",
        "ready",
        ...counted.map(([, title]) => title),
        "since",
        "reason",
        "file",
        ...(isWide ? ["generation", "message"] : []),
      ],
      own.map((view) => {
        const { declared } = view;
        const { reason, message } = troubleOf(view);
        return [
          isMixed ? reference(kind, declared.name) : declared.name,
          ...columns.map(({ path }) => cell(declared.resource?.spec ?? {}, path)),
          wordFor(view, "Accepted"),
          wordFor(view, "Ready"),
          ...counted.map(([figure]) => view.figures?.[figure] ?? ""),
          sinceOf(view),
          reason,
          placeOf(declared),
          ...(isWide ? [declared.generation, message] : []),
        ];
      }),
      "",
    );
  }
}

function cell(spec: unknown, path: readonly string[]): string {
  let value: unknown = spec;
  for (const step of path) value = (value as Record<string, unknown> | undefined)?.[step];
  return value === undefined ? "" : String(value);
}

function sinceOf({ conditions = [] }: View): string {
  const latest = conditions.map((c) => Date.parse(c.lastTransitionTime)).sort((a, b) => b - a)[0];
  return latest === undefined ? "" : age(systemClock.wallMs() - latest);
}

/** As kubectl shows ages: one unit, two while it is small. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}
