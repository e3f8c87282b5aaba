/** The verb for flows and their runs. */
import { Argument, type Command, type Option } from "commander";
import { integer, list } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `flows`. @param nats makes the option `--nats` */
export function addFlowsVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/flows.js").FlowsOptions>(
    "flows",
    "look at flows, start runs of them, follow and cancel runs",
    async (options, [action = "list", what]) =>
      (await import("./commands/flows.js")).flows(action, what, options),
  )
    .addArgument(
      new Argument("[action]", "list, run, runs, get, watch or cancel; list when left out")
        .choices(["list", "run", "runs", "get", "watch", "cancel"])
        .default("list"),
    )
    .argument("[what]", "run, runs: name of a flow; get, watch, cancel: id of a run")
    .addOption(nats())
    .option("--tenant <name>", "of this tenant", "")
    .option("--input <json>", "run: its input, a JSON object", "{}")
    .option("--priority <n>", "run: larger ones go first, -100 to 100")
    .option("--key <text>", "run: idempotency key; the same one again gives the first run")
    .option("--watch", "run: follow it to its end", false)
    .option("--status <word>", "runs: only those that stand like this; repeatable", list, [])
    .option("--limit <n>", "runs: most that are shown", integer(1, 500), 50);
}
