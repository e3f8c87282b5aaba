/** `myelin apps`: who subscribes, who of them is there, what waits for the others, and forgetting one for good. */
import { type Bus, createSubjectLog, deploymentPartitions, openKeyValue } from "@myelin/bus";
import {
  app,
  BUCKETS,
  control,
  escapeToken,
  overflowOwner,
  STREAMS,
  subjects,
  unescapeToken,
} from "@myelin/contract";
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

/** A running instance of an app, as its bridge announces it. */
export interface InstanceFacts {
  readonly bridge: string;
  readonly instance: string;
  readonly healthy: boolean;
  readonly draining: boolean;
}

/** One app, running or away. */
export interface AppFacts {
  readonly app: string;
  /** False: only a route names it, or it was deleted and something still waits. */
  readonly remembered: boolean;
  readonly subscriptions: readonly app.Subscription[];
  readonly instances: readonly InstanceFacts[];
  /** Batches of events that wait for it in the overflow. */
  readonly waitingBatches: number;
}

/** What a deletion has done; `waitingBatches` are left where a route names the app or no dispatcher runs. */
export interface Deletion {
  readonly app: string;
  readonly deleted: true;
  readonly waitingBatches: number;
}

/** Bridges announce every second. */
const LISTEN_MS = 1_200;
const LOOK_AGAIN_MS = 100;
const DELETE_WITHIN_MS = 10_000;

/** Exit code 1 when the app is not known, or is running and not to be forced. */
export async function apps(action: string, name: string | undefined, options: AppsOptions): Promise<number> {
  return withBus(options, async (bus) => {
    if (action === "list") list(await readApps(bus), options.json);
    else if (name === undefined)
      throw new AppError("config.invalid", `myelin apps ${action} needs the name of an app`);
    else if (action === "describe") describe(await readApp(bus, name), options.json);
    else tell(await deleteApp(bus, name, options.force), options);
    return EXIT.ok;
  });
}

/** Every app that is remembered, connected, or waited for, by name. @throws AppError `bus.*` */
export async function readApps(bus: Bus): Promise<AppFacts[]> {
  // Without a deployment there would be nothing to read, and opening the bucket would make one.
  await deploymentPartitions(bus);
  const [running, records, waiting] = await Promise.all([
    runningInstances(bus),
    rememberedApps(bus),
    waitingBatches(bus),
  ]);
  const names = new Set([...records.keys(), ...running.keys(), ...waiting.keys()]);
  return [...names].sort().map((name) => ({
    app: name,
    remembered: records.has(name),
    subscriptions: records.get(name) ?? [],
    instances: running.get(name) ?? [],
    waitingBatches: waiting.get(name) ?? 0,
  }));
}

/** @throws AppError `app.unknown`, `bus.*` */
export async function readApp(bus: Bus, name: string): Promise<AppFacts> {
  const found = (await readApps(bus)).find((facts) => facts.app === name);
  if (found !== undefined) return found;
  throw new AppError("app.unknown", `There is no app ${name}; myelin apps list shows all.`);
}

/**
 * Forgets an app: dispatchers route nothing to it any more, and give up what waits for it, counted. Resolves when nothing
 * waits any more, or after ten seconds.
 * @throws AppError `app.unknown`; `app.running` while instances are connected, unless forced; `bus.*`
 */
export async function deleteApp(bus: Bus, name: string, force: boolean): Promise<Deletion> {
  const { instances } = await readApp(bus, name);
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
    const waiting = (await waitingBatches(bus)).get(name) ?? 0;
    if (waiting === 0 || systemClock.nowMs() >= untilMs)
      return { app: name, deleted: true, waitingBatches: waiting };
    await systemClock.sleep(LOOK_AGAIN_MS);
  }
}

async function rememberedApps(bus: Bus): Promise<Map<string, app.Subscription[]>> {
  const records = new Map<string, app.Subscription[]>();
  for (const { key, value } of await (await openKeyValue(bus, BUCKETS.apps)).entries()) {
    const name = unescapeToken(key);
    if (name !== undefined) records.set(name, subscriptionsOf(value));
  }
  return records;
}

function subscriptionsOf(value: Uint8Array): app.Subscription[] {
  try {
    const { subscriptions } = JSON.parse(Buffer.from(value).toString("utf8")) as { subscriptions?: unknown };
    return Array.isArray(subscriptions) ? subscriptions.map((s) => app.Subscription.fromPartial(s)) : [];
  } catch {
    // Of a version to come: the app is known, what it subscribes to is not shown.
    return [];
  }
}

async function runningInstances(bus: Bus): Promise<Map<string, InstanceFacts[]>> {
  const announcements = new Map<string, control.AppAnnouncement>();
  const end = bus.subscribe(subjects.appAnnounce(), (data) => {
    const announcement = control.AppAnnouncement.decode(data);
    announcements.set(announcement.bridge, announcement);
  });
  try {
    await bus.flush();
    bus.publish(subjects.appAnnounceSync(), new Uint8Array(0));
    await systemClock.sleep(LISTEN_MS);
  } finally {
    end();
  }
  const running = new Map<string, InstanceFacts[]>();
  for (const { bridge, instances } of announcements.values()) {
    for (const { app: name, instance, healthy, draining } of instances) {
      const facts = running.get(name) ?? [];
      running.set(name, facts);
      facts.push({ bridge, instance, healthy, draining });
    }
  }
  return running;
}

async function waitingBatches(bus: Bus): Promise<Map<string, number>> {
  const waiting = new Map<string, number>();
  const overflow = createSubjectLog(bus, STREAMS.overflow.name);
  for (const [subject, batches] of await overflow.subjects(subjects.allOverflowBatches())) {
    const owner = overflowOwner(subject);
    if (owner?.kind === "app") waiting.set(owner.target, (waiting.get(owner.target) ?? 0) + batches);
  }
  return waiting;
}

function list(all: readonly AppFacts[], json: boolean): void {
  if (json) {
    printJson({ apps: all });
    return;
  }
  if (all.length === 0) {
    note("No app has ever connected.");
    return;
  }
  const table = new Table({
    head: ["app", "instances", "healthy", "filters", "batches waiting"],
    style: { head: [], border: [] },
    colAligns: ["left", "right", "right", "left", "right"],
  });
  for (const { app: name, instances, subscriptions, waitingBatches: waiting } of all) {
    const healthy = instances.filter((instance) => instance.healthy).length;
    table.push([
      name,
      instances.length === 0 ? colour.yellow("away") : instances.length,
      instances.length === 0 ? "" : healthy,
      subscriptions.map(({ filter }) => filter).join("\n"),
      waiting,
    ]);
  }
  print(table.toString());
}

function describe(facts: AppFacts, json: boolean): void {
  if (json) {
    printJson(facts);
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
  for (const { instance, bridge, healthy, draining } of instances) {
    print(
      `  instance ${instance} at ${bridge}, ${healthy ? "healthy" : "not healthy"}${draining ? ", leaving" : ""}`,
    );
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
