/** The verb for stored readings. */
import { type Command, Option } from "commander";
import { integer } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `history`. @param nats makes the option `--nats` */
export function addHistoryVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/history.js").HistoryOptions>(
    "history",
    "show what a sink has stored of a device: readings, the newest ones, or sums over time",
    async (options, [device = "", path]) =>
      (await import("./commands/history.js")).showHistory(device, path, options),
  )
    .argument("<device>", "device id")
    .argument("[path]", "only what came with this path or topic")
    .addOption(nats())
    .option("--sink <name>", "the sink to ask; needed where there are several")
    .option("--tenant <name>", "tenant of the device", "")
    .option("--point <name>", "only this point: a field, with dots between levels")
    .option("--from <when>", "first time, or a duration before now such as 1h")
    .option("--to <when>", "time behind the last one, or a duration before now")
    .addOption(
      new Option("--order <which>", "what comes first").choices(["newest", "oldest"]).default("newest"),
    )
    .addOption(
      new Option("--latest", "only the newest reading of each point")
        .default(false)
        .conflicts(["from", "to", "every", "agg"]),
    )
    .option("--every <duration>", "sums over stretches of this length, such as 5m")
    .option("--agg <fields>", "of sums: some of count, mean, min, max, sum, first, last, with commas between")
    .option("--limit <n>", "most rows (default: 100 in a table, else all)", integer(1, 1_000_000_000))
    .addOption(new Option("--csv", "print CSV, with a heading").default(false).conflicts("json"));
}
