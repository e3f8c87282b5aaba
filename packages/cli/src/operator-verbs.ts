/** The verbs for who looks after connected clients. */
import { Argument, type Command, type Option } from "commander";
import { integer, list } from "./arguments.js";

/** Makes a verb as `program.ts` does. */
type Verb = <O extends { json: boolean }>(
  name: string,
  description: string,
  run: (options: O, args: string[]) => Promise<number>,
) => Command;

const MAX_LIMIT = 1_000;
const DEFAULT_LIMIT = 100;

/** Adds `clients`, `subscriptions`, `sessions` and `trace`. @param nats makes the option `--nats` */
export function addOperatorVerbs(verb: Verb, nats: () => Option): void {
  const paged = (command: Command): Command =>
    command
      .addOption(nats())
      .option("--tenant <name>", "only this tenant; the default one is ''")
      .option("--limit <n>", "most entries that are shown", integer(1, MAX_LIMIT), DEFAULT_LIMIT)
      .option("--cursor <text>", "go on where a list has ended");

  paged(
    verb<import("./commands/clients.js").ClientsOptions>(
      "clients",
      "show who is connected, look at one client, or disconnect it",
      async (options, [action = "list", client]) =>
        (await import("./commands/clients.js")).clients(action, client, options),
    )
      .addArgument(
        new Argument("[action]", "list, inspect or disconnect; list when left out")
          .choices(["list", "inspect", "disconnect"])
          .default("list"),
      )
      .argument("[client]", "the client to inspect or disconnect: its device id, or what it calls itself"),
  )
    .option("-p, --protocol <name>", "list: only these protocols; repeatable", list, [])
    .option(
      "--protocol-version <version>",
      "list: only these versions, such as 3.1.1 or 5; repeatable",
      list,
      [],
    )
    .option("-u, --user <glob>", "list: only these users; repeatable", list, [])
    .option("-d, --device <glob>", "list: only these devices; repeatable", list, [])
    .option("--listener <instance>", "list: only those of these listeners; repeatable", list, [])
    .option("--since <when>", "list: connected since this time, or for less than a duration such as 10m")
    .option("--reason <text>", "disconnect: shown to the client where its protocol has a place for it");

  paged(
    verb<import("./commands/subscriptions.js").SubscriptionsOptions>(
      "subscriptions",
      "show which connected clients subscribe to what",
      async (options) => (await import("./commands/subscriptions.js")).subscriptions(options),
    ),
  )
    .option("-c, --client <id>", "only those of this client")
    .option("-f, --filter <filter>", "only this filter, as it was subscribed")
    .option("-t, --topic <topic>", "only those that messages on this topic go to");

  paged(
    verb<import("./commands/sessions.js").SessionsOptions>(
      "sessions",
      "show the sessions of clients, or delete one with all that waits in it",
      async (options, [action = "list", client]) =>
        (await import("./commands/sessions.js")).sessions(action, client, options),
    )
      .addArgument(
        new Argument("[action]", "list, inspect or delete; list when left out")
          .choices(["list", "inspect", "delete"])
          .default("list"),
      )
      .argument("[client]", "the client whose session to inspect or delete"),
  );

  verb<import("./commands/trace.js").TraceOptions>(
    "trace",
    "show the MQTT packets of clients and topics as they pass: from the client >, to it <",
    async (options) => (await import("./commands/trace.js")).trace(options),
  )
    .addOption(nats())
    .option("--tenant <name>", "only this tenant; the default one is ''")
    .option("-c, --client <id>", "all packets of this client; repeatable", list, [])
    .option(
      "-t, --topic <filter>",
      "messages on these topics, with their acknowledgements; repeatable",
      list,
      [],
    )
    .option("-n, --count <n>", "end after so many", integer(1, 2 ** 31))
    .option("--rate <n>", "packets a second at most from each listener", integer(1, 10_000), 200)
    .option("--payload <bytes>", "show so much of each payload", integer(0, 4096), 0);
}
