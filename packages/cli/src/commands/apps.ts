/** `myelin apps`: who subscribes, who of them is there, what waits for the others, and forgetting one for good. */
import { AppClient, type AppFacts, appJson, type Bus, openKeyValue } from "@myelin/bus";
import { BUCKETS, escapeToken } from "@myelin/contract";
import { AppError, systemClock } from "@myelin/kernel";
import Table from "cli-table3";
import type { ReachOptions } from "../box/connection.js";
import { colour, EXIT, note, print, printJson } from "../output.js";
import { withBus } from "./client.js";

/** What can be done with apps. */
export const APPS_ACTIONS = ["list", "describe", "delete"] as const;

export interface AppsOptions extends ReachOptions {
  readonly json: boolean;
  /** Delete an app although instances of it are connected. */
  readonly force: boolean;
}

/** What a deletion has done; `waitingBatches` are left where a route names the app or no dispatcher runs. */
export interface Deletion {
  readonly app: string;
  readonly deleted: true;
  readonly waitingBatches: number;
}

const LOOK_AGAIN_MS = 100;
const DELETE_WITHIN_MS = 10_000;

/** Exit code 1 when the app is not known, or is running and not to be forced. */
export async function apps(action: string, name: string | undefined, options: AppsOptions): Promise<number> {
  return withBus(options, async (bus) => {
    const client = new AppClient(bus, systemClock);
    if (action === "list") list(await client.list(), options.json);
    else if (name === undefined)
      throw new AppError("config.invalid", `myelin apps ${action} needs the name of an app`);
    else if (action === "describe") describe(await client.get(name), options.json);
    else tell(await deleteApp(bus, client, name, options.force), options);
    return EXIT.ok;
  });
}

/**
 * Forgets an app: dispatchers route nothing to it any more, and give up what waits for it, counted. Resolves when nothing
 * waits any more, or after ten seconds.
 * @throws AppError `app.unknown`; `app.running` while instances are connected, unless forced; `bus.*`
 */
export async function deleteApp(
  bus: Bus,
  client: AppClient,
  name: string,
  force: boolean,
): Promise<Deletion> {
  const { instances } = await client.get(name);
  if (instances.length > 0 && !force) {
    throw new AppError(
      "app.running",
      `${name} is connected (instances: ${instances.length}). End it first; with --force what waits is given up, and it announces itself anew.`,
      { details: { instances: instances.length } },
    );
  }
  // Also without an entry: what is left of the deletion tells dispatchers that start later.
  await (await openKeyValue(bus, BUCKETS.apps)).delete(escapeToken(name));
  const untilMs = systemClock.nowMs() + DELETE_WITHIN_MS;
  for (;;) {
    const waiting = (await client.waiting()).get(name) ?? 0;
    if (waiting === 0 || systemClock.nowMs() >= untilMs)
      return { app: name, deleted: true, waitingBatches: waiting };
    await systemClock.sleep(LOOK_AGAIN_MS);
  }
}

function list(all: readonly AppFacts[], json: boolean): void {
  if (json) {
    printJson({ apps: all.map(appJson) });
    return;
  }
  if (all.length === 0) {
    note("No app has ever connected.");
    return;
  }
  const table = new Table({
    head: ["app", "instances", "healthy", "serves", "filters", "batches waiting"],
    style: { head: [], border: [] },
    colAligns: ["left", "right", "right", "left", "left", "right"],
  });
  for (const { app: name, instances, subscriptions, waitingBatches: waiting } of all) {
    const healthy = instances.filter((instance) => instance.healthy).length;
    table.push([
      name,
      instances.length === 0 ? colour.yellow("away") : instances.length,
      instances.length === 0 ? "" : healthy,
      [...new Set(instances.flatMap(({ serves }) => serves))].join("\n"),
      subscriptions.map(({ filter }) => filter).join("\n"),
      waiting,
    ]);
  }
  print(table.toString());
}

function describe(facts: AppFacts, json: boolean): void {
  if (json) {
    printJson(appJson(facts));
    return;
  }
  const { app: name, remembered, subscriptions, instances, waitingBatches: waiting } = facts;
  print(colour.bold(name));
  if (!remembered) print("  only a route names it");
  for (const { filter, deviceIds, kinds, protocols, ports } of subscriptions) {
    const more = Object.entries({ devices: deviceIds, kinds, protocols, ports })
      .filter(([, values]) => values.length > 0)
      .map(([what, values]) => ` ${what} ${values.join(",")}`);
    print(`  subscribes to ${filter}${more.join(";")}`);
  }
  for (const { instance, bridge, healthy, draining, sinceMs, serves, inFlight, openRequests } of instances) {
    const since = sinceMs > 0 ? ` since ${new Date(sinceMs).toISOString()}` : "";
    const state = `${healthy ? "healthy" : "not healthy"}${draining ? ", leaving" : ""}`;
    print(`  instance ${instance} at ${bridge}${since}, ${state}`);
    print(`    on the way: ${inFlight} messages, ${openRequests} requests`);
    if (serves.length > 0) print(`    answers ${serves.join(", ")}`);
  }
  if (instances.length === 0) print("  no instance is connected");
  print(`  ${waiting} batches of events wait for it`);
}

function tell(done: Deletion, { json }: AppsOptions): void {
  if (json) {
    printJson(done);
    return;
  }
  print(`${done.app} is forgotten.`);
  if (done.waitingBatches === 0) return;
  note(
    `${done.waitingBatches} batches still wait: a dispatcher that runs gives them up, unless a route names the app or instances of it are connected.`,
  );
}
