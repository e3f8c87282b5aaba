/** `myelin command`: commands to devices. */
import { userInfo } from "node:os";
import {
  type Bus,
  type CommandState,
  type CommandWish,
  commandGroup,
  commandJson,
  commandStepJson,
  type DeviceCommand,
  DeviceCommandClient,
  DeviceRegistryClient,
  deploymentPartitions,
  hasReached,
} from "@myelin/bus";
import { parseDurationMs } from "@myelin/config";
import { AppError, systemClock } from "@myelin/kernel";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, print, printable, printJson } from "../output.js";
import { withBus } from "./client.js";
import { needed, table } from "./operator-lists.js";

export interface CommandOptions extends ReachOptions {
  readonly json: boolean;
  readonly tenant: string;
  readonly wait?: CommandState;
  readonly timeout: string;
  readonly ttl: string;
  readonly priority: number;
  readonly key?: string;
  readonly override?: string;
  readonly group?: string;
  readonly rate: number;
  readonly stopOnFailures: number;
  readonly state: readonly string[];
  readonly limit: number;
}

const LOOK_MS = 10_000;

/** Exit code 1 when a command has not come to what was waited for. @throws AppError `command.*`, `config.invalid`, `request.*`, `bus.*` */
export async function command(
  action: string,
  rest: readonly string[],
  options: CommandOptions,
): Promise<number> {
  return withBus(options, async (bus) => {
    const partitions = await deploymentPartitions(bus);
    const client = new DeviceCommandClient(bus, partitions, systemClock);
    const [what] = rest;
    const id = (): string => needed(what, `myelin command ${action} needs the id of a command`);
    switch (action) {
      case "send":
        return options.group === undefined
          ? await send(client, rest, options)
          : await sendToGroup(bus, partitions, client, rest, options.group, options);
      case "get":
        return show(await waited(client, await client.get(options.tenant, id()), options), options);
      case "cancel":
        show(await client.cancel(options.tenant, id(), author()), options);
        return EXIT.ok;
      case "watch":
        return await watch(client, id(), options);
      default:
        return await showList(client, what, options);
    }
  });
}

async function send(
  client: DeviceCommandClient,
  [device, name, ...parameters]: readonly string[],
  options: CommandOptions,
): Promise<number> {
  const made = await client.submit({
    ...wishOf(needed(name, "myelin command send needs a device and a command"), parameters, options),
    device: device!,
  });
  return show(await waited(client, made, options), options);
}

async function sendToGroup(
  bus: Bus,
  partitions: number,
  client: DeviceCommandClient,
  [name, ...parameters]: readonly string[],
  group: string,
  options: CommandOptions,
): Promise<number> {
  const { rate, stopOnFailures, wait = "verified", timeout, json } = options;
  const wish = wishOf(needed(name, "myelin command send --group needs a command"), parameters, options);
  const bulk = { ...wish, group, rate, stopOnFailures, wait, waitMs: durationOf("--timeout", timeout) };
  let failures = 0;
  let count = 0;
  for await (const outcome of commandGroup(
    new DeviceRegistryClient(bus, partitions),
    client,
    systemClock,
    bulk,
  )) {
    const { device, command: made, error, isFailed } = outcome;
    count += 1;
    if (isFailed) failures += 1;
    const why = error === undefined ? (made?.steps.at(-1)?.cause ?? "") : error.message;
    const state = made?.state ?? "refused";
    if (json) printJson({ device, failed: isFailed, id: made?.id, state, why });
    else print(printable(`${device}: ${state}${why === "" ? "" : ` (${why})`}`));
  }
  if (!json) print(`${count} devices, ${failures} failed.`);
  return failures === 0 && count > 0 ? EXIT.ok : EXIT.failed;
}

function wishOf(
  name: string,
  parameters: readonly string[],
  { tenant, ttl, priority, key, override }: CommandOptions,
): Omit<CommandWish, "device"> {
  return {
    tenant,
    name,
    parameters: Object.fromEntries(parameters.map(parameterOf)),
    ttlMs: durationOf("--ttl", ttl),
    priority,
    idempotencyKey: key,
    overrideReason: override,
    author: author(),
  };
}

/** Whoever can reach NATS with its token is an operator. */
function author(): CommandWish["author"] {
  return { kind: "user", name: userInfo().username, roles: ["operator"] };
}

function parameterOf(text: string): [string, unknown] {
  const at = text.indexOf("=");
  if (at < 1) throw new AppError("config.invalid", `${text} is no NAME=VALUE`);
  const value = text.slice(at + 1);
  try {
    return [text.slice(0, at), JSON.parse(value)];
  } catch {
    // Text need not stand in quotation marks.
    return [text.slice(0, at), value];
  }
}

function durationOf(name: string, text: string): number {
  try {
    return parseDurationMs(text);
  } catch (cause) {
    throw new AppError("config.invalid", `${name} takes a duration such as 30s`, { cause });
  }
}

async function waited(
  client: DeviceCommandClient,
  made: DeviceCommand,
  { wait, timeout }: CommandOptions,
): Promise<DeviceCommand> {
  return wait === undefined ? made : await client.reached(made, wait, durationOf("--timeout", timeout));
}

async function watch(client: DeviceCommandClient, id: string, options: CommandOptions): Promise<number> {
  let now = await client.get(options.tenant, id);
  for (let told = 0; ; ) {
    for (const step of now.steps.slice(told)) {
      if (options.json) printJson(commandStepJson(step));
      else print(stepLine(step));
    }
    told = now.steps.length;
    if (now.isTerminal) return EXIT.ok;
    now = await client.next(options.tenant, id, told, LOOK_MS);
  }
}

async function showList(
  client: DeviceCommandClient,
  device: string | undefined,
  { tenant, state, limit, json }: CommandOptions,
): Promise<number> {
  const states = state.map((word) => word.toLowerCase() as CommandState);
  const { commands, more } = await client.list({ tenant, device, states, limit });
  if (json) {
    printJson({ commands: commands.map(commandJson), more });
    return EXIT.ok;
  }
  table(
    ["id", "device", "command", "state", "why", "made"],
    commands.map(({ id, device: to, name, state: at, steps, createdAtUs }) => [
      id,
      to,
      name,
      at,
      steps.at(-1)?.cause ?? "",
      timeOf(createdAtUs),
    ]),
    "There is no such command.",
  );
  return EXIT.ok;
}

/** Exit code 1 when it has ended otherwise than well, or has not come to what was waited for. */
function show(made: DeviceCommand, { json, wait }: CommandOptions): number {
  if (json) printJson(commandJson(made));
  else {
    print(printable(`${made.id}: ${made.name} to ${made.device}`));
    for (const step of made.steps) print(stepLine(step));
  }
  const isWell = ["executed", "verified"].includes(made.state) || !made.isTerminal;
  return isWell && (wait === undefined || hasReached(made, wait)) ? EXIT.ok : EXIT.failed;
}

function stepLine({ state, atUs, cause, message }: DeviceCommand["steps"][number]): string {
  const why = [cause, message].filter((text) => text !== "").join(": ");
  return printable(`${timeOf(atUs)}  ${state.toUpperCase()}${why === "" ? "" : `  ${why}`}`);
}

function timeOf(us: number): string {
  return new Date(us / 1_000).toISOString();
}
