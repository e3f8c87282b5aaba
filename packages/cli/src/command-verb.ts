/** The verb for commands to devices. */
import { Argument, type Command, Option } from "commander";
import { integer, list } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

const ACTIONS = ["send", "get", "list", "cancel", "watch"];
const LADDER = ["accepted", "routed", "delivered", "executed", "verified"];
const STATES = [...LADDER, "rejected", "expired", "failed", "mismatch"];

/** Adds `command`. @param nats makes the option `--nats` */
export function addCommandVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/command.js").CommandOptions>(
    "command",
    "tell devices what to do, and see what came of it",
    async (options, [action = "list", ...rest]) =>
      (await import("./commands/command.js")).command(action, rest, options),
  )
    .addArgument(
      new Argument("[action]", "send, get, list, cancel or watch; list when left out")
        .choices(ACTIONS)
        .default("list"),
    )
    .argument("[what]", "send: the device, left out with --group; list: a device; otherwise the command's id")
    .argument("[name]", "send: a command of the device's profile")
    .argument("[parameters...]", "send: NAME=VALUE, where the value is JSON or else text")
    .addOption(nats())
    .option("--tenant <name>", "of this tenant", "")
    .addOption(
      new Option("--wait <state>", "send, get: until it has come there or has ended").choices(LADDER),
    )
    .option("--timeout <duration>", "send, get: how long to wait for that", "30s")
    .option("--ttl <duration>", "send: how long it may wait for the device", "60s")
    .option("--priority <n>", "send: larger ones go first", integer(-100, 100), 0)
    .option("--key <text>", "send: the same one again gives the first command")
    .option("--override <reason>", "send: sets the safety envelope aside; it is audited")
    .option("--group <name>", "send: to all devices of this group, one after the other")
    .option("--rate <n>", "send --group: devices a second", integer(1, 1_000), 10)
    .option(
      "--stop-on-failures <n>",
      "send --group: begin no more when so many have failed; 0: never",
      integer(0, 1_000_000),
      1,
    )
    .addOption(
      new Option("--state <state>", "list: only in this state; repeatable").argParser(list).default([]),
    )
    .option("--limit <n>", "list: most commands that are shown", integer(1, 500), 50)
    .addHelpText("after", `\nStates: ${STATES.join(", ")}`);
}
