/** The verb for what rules would do. */
import { Argument, type Command, type Option } from "commander";
import { list } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

/** Adds `rules`. @param nats makes the option `--nats` */
export function addRulesVerb(verb: Verb, nats: () => Option): void {
  verb<import("./commands/backtest.js").BacktestOptions>(
    "rules",
    "run rules on cases from a file, or one over what a sink has stored, before they are switched on",
    async (options, [action, ...files]) =>
      action === "backtest"
        ? (await import("./commands/backtest.js")).backtestRule(files, options)
        : (await import("./commands/rules.js")).testRules(files, options),
  )
    .addArgument(new Argument("<action>", "test or backtest").choices(["test", "backtest"]))
    .argument("<files...>", "test: YAML with rules and cases; backtest: the resource file of the rule")
    .addOption(nats())
    .option("--rule <name>", "backtest: which rule, where the file has several")
    .option("--sink <name>", "backtest: the sink to ask; needed where there are several")
    .option("--tenant <name>", "backtest: of this tenant", "")
    .option(
      "-d, --device <id>",
      "backtest: only this device; repeatable; left out, all that are registered",
      list,
      [],
    )
    .option("--from <when>", "backtest: first time, or a duration before now such as 7d")
    .option("--to <when>", "backtest: time behind the last one, or a duration before now; left out, now");
}
