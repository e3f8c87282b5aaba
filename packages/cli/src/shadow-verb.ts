/** The verb for the shadows of devices. */
import { Argument, type Command, type Option } from "commander";
import { integer } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `shadow`. @param nats makes the option `--nats` */
export function addShadowVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/shadow.js").ShadowOptions>(
    "shadow",
    "look at what a device should do and has measured, say what it should do",
    async (options, [action = "get", device = "", state]) =>
      (await import("./commands/shadow.js")).shadow(action, device, state, options),
  )
    .addArgument(
      new Argument(
        "<action>",
        "get, list the names, set (merge JSON into the desired state), watch or delete",
      ).choices(["get", "list", "set", "watch", "delete"]),
    )
    .argument("<device>", "the device's id")
    .argument("[desired]", 'set: JSON such as {"temperature":21.5}; null removes a field')
    .addOption(nats())
    .option("--tenant <name>", "of this tenant", "")
    .option("--name <name>", "of its shadows the one with this name", "")
    .option("--replace", "set: the desired state becomes exactly this", false)
    .option(
      "--if-version <n>",
      "set, delete: only if the shadow has this version; 0: there must be none",
      integer(0, Number.MAX_SAFE_INTEGER),
    )
    .option("-n, --count <n>", "watch: end after so many", integer(1, Number.MAX_SAFE_INTEGER));
}
