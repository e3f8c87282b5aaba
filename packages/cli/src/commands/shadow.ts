/** `myelin shadow`: what a device should do, and what it has measured. */
import {
  deploymentPartitions,
  ShadowClient,
  type ShadowName,
  type ShadowView,
  shadowJson,
} from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, note, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";
import { needed } from "./operator-lists.js";

export interface ShadowOptions extends ReachOptions {
  readonly json: boolean;
  readonly tenant: string;
  readonly name: string;
  readonly replace: boolean;
  readonly ifVersion?: number;
  readonly count?: number;
}

/** @throws AppError `shadow.*`, `config.invalid`, `bus.*`, `request.*` */
export async function shadow(
  action: string,
  device: string,
  state: string | undefined,
  options: ShadowOptions,
): Promise<number> {
  const { json, tenant, name, replace, ifVersion } = options;
  const which = { tenant, device, name };
  return withBus(options, async (bus) => {
    const client = new ShadowClient(bus, await deploymentPartitions(bus));
    switch (action) {
      case "list":
        showNames(await client.list(tenant, device), json);
        return EXIT.ok;
      case "set": {
        const desired = parsed(needed(state, 'myelin shadow set needs JSON, such as {"temperature":21.5}'));
        show(await client.update(which, { desired, replace, expected: ifVersion }), json);
        return EXIT.ok;
      }
      case "watch":
        await watch(client, which, options);
        return EXIT.ok;
      case "delete":
        await client.delete(which, ifVersion);
        if (json) printJson({ device, name, deleted: true });
        else print(`The shadow of ${printable(device)} is deleted.`);
        return EXIT.ok;
      default:
        show(await client.get(which), json);
        return EXIT.ok;
    }
  });
}

async function watch(client: ShadowClient, which: ShadowName, options: ShadowOptions): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  if (!options.json) note("Each change is shown; Ctrl-C ends.");
  let left = options.count ?? Number.POSITIVE_INFINITY;
  for await (const view of client.watch(which, ending.signal)) {
    if (options.json) printJson(shadowJson(view));
    else print(lineOf(view));
    if (--left <= 0) return;
  }
}

function lineOf(view: ShadowView): string {
  if (view.isGone) return "There is no such shadow.";
  const { state } = JSON.parse(view.json) as { readonly state: object };
  const standing = view.condition === undefined ? "" : `  ${view.condition.state}`;
  return printable(`version ${view.version}${standing}  ${JSON.stringify(state)}`);
}

function showNames(names: readonly string[], json: boolean): void {
  if (json) printJson({ classic: names.includes(""), names: names.filter((name) => name !== "") });
  else if (names.length === 0) print("The device has no shadow.");
  else for (const name of names) print(name === "" ? "(classic)" : printable(name));
}

function show(view: ShadowView, json: boolean): void {
  if (json) {
    printJson(shadowJson(view));
    return;
  }
  const { state, condition } = shadowJson(view) as {
    readonly state: Readonly<Record<string, object>>;
    readonly condition?: { readonly state: string; readonly since: string; readonly reason?: string };
  };
  print(`version: ${view.version}`);
  if (condition !== undefined) {
    const why = condition.reason === undefined ? "" : `: ${condition.reason}`;
    print(printable(`condition: ${condition.state} since ${condition.since}${why}`));
  }
  for (const half of ["desired", "reported", "delta"])
    if (state[half] !== undefined) print(printable(`${half}: ${JSON.stringify(state[half])}`));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError("config.invalid", `${text.slice(0, 100)} is no JSON`, { cause });
  }
}
