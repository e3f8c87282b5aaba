/** What the verbs for resources have in common: the folder of the box, and the box itself where it runs. */
import type { Bus } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { ReachOptions } from "../box/connection.js";
import { boxLayout } from "../box/layout.js";
import { withBus } from "../commands/client.js";
import { note, print, printJson } from "../output.js";
import { commitFiles, withFolder } from "./commit.js";
import { type Change, type Plan, ResourceFolder } from "./folder.js";
import { reference } from "./kinds.js";
import { checkRemotely, readStatuses, type Statuses } from "./status.js";

export interface ResourceOptions extends ReachOptions {
  readonly json: boolean;
}

/** A verb that changes something. */
export interface ChangeOptions extends ResourceOptions {
  readonly dryRun: boolean;
  /** `name`: only what is changed, nothing of what is done to it. */
  readonly output?: "name" | undefined;
}

export function folderOf({ dataDir }: ResourceOptions): string {
  return boxLayout(dataDir).resources;
}

/** Runs `work` with a box that runs; says so and gives undefined where none does. */
async function withBox<T>(
  options: ResourceOptions,
  otherwise: string,
  work: (bus: Bus) => Promise<T>,
): Promise<T | undefined> {
  try {
    return await withBus(options, work);
  } catch (error) {
    if (!AppError.is(error) || error.code !== "setup.not_running") throw error;
    note(`No box runs on ${boxLayout(options.dataDir).root}: ${otherwise}.`);
    return undefined;
  }
}

/** What the processes say; undefined where no box runs. */
export function statusesOf(options: ResourceOptions): Promise<Statuses | undefined> {
  return withBox(options, "how resources stand is not known", readStatuses);
}

/** Plans, checks and carries out, with nobody else in between; then tells what became of each resource. */
export async function change(
  options: ChangeOptions,
  makePlan: (folder: ResourceFolder) => Promise<Plan>,
): Promise<Plan> {
  const folder = folderOf(options);
  const { dryRun } = options;
  const work = async (): Promise<Plan> => {
    const plan = await makePlan(await ResourceFolder.load(folder));
    const wanted = plan.changes.flatMap(({ action, after }) =>
      after === undefined || action === "unchanged" ? [] : [after],
    );
    if (wanted.length > 0) {
      await withBox(options, "checked by this program alone", (bus) => checkRemotely(bus, wanted));
    }
    if (!dryRun) await commitFiles(folder, plan.files);
    return plan;
  };
  const plan = await (dryRun ? work() : withFolder(folder, work));
  for (const one of plan.changes) tell(one, options);
  return plan;
}

function tell({ action, kind, name, file }: Change, { json, dryRun, output }: ChangeOptions): void {
  if (json) printJson({ kind, name, action, file, dryRun });
  else if (output === "name") print(reference(kind, name));
  else print(`${reference(kind, name)} ${action}${dryRun ? " (dry run)" : ""}`);
}
