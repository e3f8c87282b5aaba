/** The verb for alarms. */
import { Argument, type Command, type Option } from "commander";
import { integer, list } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `alarms`. @param nats makes the option `--nats` */
export function addAlarmsVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/alarms.js").AlarmsOptions>(
    "alarms",
    "look at what rules have raised, follow it, say that somebody has seen it or that it is over",
    async (options, [action = "list", id]) =>
      (await import("./commands/alarms.js")).alarms(action, id, options),
  )
    .addArgument(
      new Argument("[action]", "list, get, ack, clear or watch; list when left out")
        .choices(["list", "get", "ack", "clear", "watch"])
        .default("list"),
    )
    .argument("[id]", "get, ack, clear: the alarm")
    .addOption(nats())
    .option("--tenant <name>", "of this tenant", "")
    .option("-d, --device <id>", "list, watch: only of this device")
    .option("--rule <name>", "list, watch: only what this rule has raised")
    .option("--severity <word>", "list, watch: only those that are so urgent, or more")
    .option("--state <word>", "list: only those that stand like this; repeatable", list, [])
    .option("--note <text>", "ack, clear: kept with the alarm")
    .option("--limit <n>", "list: most that are shown", integer(1, 500), 50)
    .option("-n, --count <n>", "watch: end after so many lines", integer(1, 2 ** 31));
}
