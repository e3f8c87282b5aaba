/** The verbs for who declares resources; as in kubectl. */
import { type Command, Option } from "commander";
import { list } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Verbs whose arguments a shell can complete: kinds and names, or a field of a kind. */
export const RESOURCE_VERBS = ["get", "describe", "delete", "explain"] as const;

/** Adds `apply`, `get`, `describe`, `delete`, `diff` and `explain`. @param nats makes the option `--nats` */
export function addResourceVerbs(verb: Verb, nats: () => Option): void {
  const files = (command: Command): Command =>
    command
      .option("-f, --filename <file>", "file, folder, or - for standard input; repeatable", list, [])
      .option("-R, --recursive", "also the folders below a folder", false);
  const changing = (command: Command): Command =>
    command
      .addOption(nats())
      .option("--dry-run", "check and tell, but change nothing", false)
      .addOption(new Option("-o, --output <form>", "name: only what is changed").choices(["name"]));

  changing(
    files(
      verb<import("./commands/apply.js").ApplyOptions>(
        "apply",
        "declare resources: all of a file or folder, or none",
        async (options) => (await import("./commands/apply.js")).apply(options),
      ),
    ),
  );

  verb<import("./commands/get.js").GetOptions>(
    "get",
    "show which resources are declared and how they stand",
    async (options, args) => (await import("./commands/get.js")).get(args, options),
  )
    .argument("<kind>", "kind, several with commas, KIND/NAME, or all")
    .argument("[names...]", "names; left out, all of the kind")
    .addOption(nats())
    .addOption(
      new Option("-o, --output <form>", "how they are printed")
        .choices(["table", "wide", "json", "yaml", "name"])
        .default("table"),
    );

  verb<import("./resources/box-folder.js").ResourceOptions>(
    "describe",
    "show everything that is known of resources",
    async (options, args) => (await import("./commands/describe.js")).describeResources(args, options),
  )
    .argument("<kind>", "kind, several with commas, KIND/NAME, or all")
    .argument("[names...]", "names; left out, all of the kind")
    .addOption(nats());

  changing(
    files(
      verb<import("./commands/delete.js").DeleteOptions>(
        "delete",
        "take resources out, by name or by file",
        async (options, args) => (await import("./commands/delete.js")).deleteResources(args, options),
      )
        .argument("[kind]", "kind, or KIND/NAME")
        .argument("[names...]", "names"),
    ),
  )
    .option("--all", "every resource of the kind", false)
    .option("--ignore-not-found", "what is not there counts as deleted", false);

  files(
    verb<import("./commands/diff.js").DiffOptions>(
      "diff",
      "show what apply would change; exit code 1 when it would change something",
      async (options) => (await import("./commands/diff.js")).diff(options),
    ),
  );

  verb<import("./commands/explain.js").ExplainOptions>(
    "explain",
    "say what a kind or a field of it means",
    async (options, args) => (await import("./commands/explain.js")).explain(args[0] as string, options),
  )
    .argument("<path>", "kind and field, such as route.spec.targets")
    .option("--recursive", "all fields below, without their texts", false);
}
