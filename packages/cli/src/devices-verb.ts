/** The verb for the registry of devices. */
import { Argument, type Command, Option } from "commander";
import { integer, list } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `devices`. @param nats makes the option `--nats` */
export function addDevicesVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/devices.js").DevicesOptions>(
    "devices",
    "look at the registry of devices, change it, bring devices in and out in bulk",
    async (options, [action = "list", what]) =>
      (await import("./commands/devices.js")).devices(action, what, options),
  )
    .addArgument(
      new Argument(
        "[action]",
        "list, get, set, enable, disable, delete, import or export; list when left out",
      )
        .choices(["list", "get", "set", "enable", "disable", "delete", "import", "export"])
        .default("list"),
    )
    .argument(
      "[what]",
      "the device's id; import: a file of NDJSON or CSV (by its name, or --csv), - for standard input",
    )
    .addOption(nats())
    .option("--tenant <name>", "of this tenant", "")
    .option("--profile <name>", "list, export: only devices of this profile; set: their profile")
    .option(
      "--group <name>",
      "list, export: only devices in this group; set: their groups; repeatable",
      list,
      [],
    )
    .option(
      "--tag <name=value>",
      "list, export: only devices with this tag; set: one of their tags; repeatable",
      list,
      [],
    )
    .option("--id-prefix <text>", "list, export: only ids that begin with this")
    .option("--disabled", "list, export: only devices that may not connect", false)
    .addOption(
      new Option("--presence <state>", "list, export: only devices that are so").choices([
        "online",
        "offline",
      ]),
    )
    .option("--description <text>", "set: what people should know")
    .option(
      "--if-version <n>",
      "set, enable, disable, delete: only if the record has this version",
      integer(0, Number.MAX_SAFE_INTEGER),
    )
    .option("--csv", "import, export: CSV instead of NDJSON", false)
    .option("--limit <n>", "list: most devices that are shown", integer(1, 1_000), 100)
    .option("--after <id>", "list: go on behind this id");
}
