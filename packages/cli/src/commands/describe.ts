/** `myelin describe`: everything that is known of resources, for people. */
import { formatResourceProblem, formatYaml } from "@myelin/config";
import { AppError, systemClock } from "@myelin/kernel";
import { colour, EXIT, note, print, printable, printJson } from "../output.js";
import { folderOf, type ResourceOptions, statusesOf } from "../resources/box-folder.js";
import { placeOf, ResourceFolder } from "../resources/folder.js";
import { reference, selectionsOf } from "../resources/kinds.js";
import { asObject, select, type View } from "../resources/view.js";
import { age } from "./get.js";
import { table } from "./operator-lists.js";

/** @throws AppError `resource.unknown`, `config.unknown_kind`, `config.invalid` */
export async function describeResources(words: readonly string[], options: ResourceOptions): Promise<number> {
  const selections = selectionsOf(words);
  const folder = await ResourceFolder.load(folderOf(options));
  const { views, missing } = select(folder, selections, await statusesOf(options));
  for (const [i, view] of views.entries()) {
    if (options.json) printJson(asObject(view));
    else {
      if (i > 0) print("");
      await describe(view);
    }
  }
  if (missing.length > 0) {
    const all = missing.map(({ kind, name }) => reference(kind, name));
    throw new AppError("resource.unknown", `There is no ${all.join(" and no ")}.`);
  }
  if (views.length === 0) note("Nothing of that is declared.");
  return EXIT.ok;
}

async function describe({ declared, conditions, figures }: View): Promise<void> {
  const { kind, name, generation, problems, value } = declared;
  print(`${colour.bold("Name:")}        ${printable(name)}`);
  print(`${colour.bold("Kind:")}        ${kind}`);
  print(`${colour.bold("Declared:")}    ${printable(placeOf(declared))}`);
  print(`${colour.bold("Generation:")}  ${generation}`);
  const { metadata, spec } = (value ?? {}) as { metadata?: { labels?: object }; spec?: unknown };
  await section("Labels", metadata?.labels);
  await section("Spec", spec);
  if (problems.length > 0) {
    print(colour.bold("Problems:"));
    for (const problem of problems) print(`  ${printable(formatResourceProblem(problem))}`);
  }
  if (conditions === undefined) return;
  print(colour.bold("Conditions:"));
  table(
    ["type", "status", "since", "reason", "message", "says"],
    conditions.map((c) => [
      c.type,
      c.observedGeneration === generation ? c.status : `${c.status} (generation ${c.observedGeneration})`,
      age(systemClock.wallMs() - Date.parse(c.lastTransitionTime)),
      c.reason,
      c.message,
      c.instances.join(", "),
    ]),
    "  nobody says anything",
  );
  await section("Figures", figures);
}

async function section(title: string, value: unknown): Promise<void> {
  if (value === undefined) return;
  print(colour.bold(`${title}:`));
  const text = (await formatYaml(value)).trimEnd();
  for (const line of text.split("\n")) print(`  ${printable(line)}`);
}
