/** The verb for what rules would do. */
import { Argument, type Command } from "commander";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `rules`. */
export function addRulesVerb(verb: Verb): void {
  verb<import("./commands/rules.js").RulesOptions>(
    "rules",
    "run rules on cases from a file, with nothing but this command",
    async (options, [, ...files]) => (await import("./commands/rules.js")).testRules(files, options),
  )
    .addArgument(new Argument("<action>", "test").choices(["test"]))
    .argument("<files...>", "YAML with rules and cases");
}
