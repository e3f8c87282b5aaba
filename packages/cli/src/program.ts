/** The verbs of `myelin`. Each loads its code when it runs, so that the supervisor and `--help` stay small. */
import { Argument, Command, Option } from "commander";
import { addAlarmsVerb } from "./alarms-verb.js";
import { integer, list, size } from "./arguments.js";
import { addAuditVerb } from "./audit-verb.js";
import { DEFAULT_DATA_DIR, PORT_OFFSETS } from "./box/layout.js";
import { addCommandVerb } from "./command-verb.js";
import { addDevicesVerb } from "./devices-verb.js";
import { addFlowsVerb } from "./flows-verb.js";
import { addHistoryVerb } from "./history-verb.js";
import { addOperatorVerbs } from "./operator-verbs.js";
import { EXIT, print, reportError } from "./output.js";
import { addResourceVerbs, RESOURCE_VERBS } from "./resource-verbs.js";
import { addRulesVerb } from "./rules-verb.js";
import { SERVICE_NAMES } from "./service-names.js";
import { addShadowVerb } from "./shadow-verb.js";

export interface ProgramFacts {
  readonly version: string;
  /** nats-server that belongs to this installation, else the name to look up on PATH. */
  readonly natsServer: string;
  /** How this command line is called from the current folder. */
  readonly command: string;
  /** Told the exit code of the verb that ran. */
  readonly exit: (code: number) => void;
}

const GIB = 1024 ** 3;
const DEFAULT_PARTITIONS = 8;

/** Builds the program; parsing it runs a verb. */
export function createProgram(facts: ProgramFacts): Command {
  const program = new Command("myelin")
    .description(
      "AIoT communication platform: devices, applications and models, connected close to the hardware",
    )
    .version(facts.version)
    .exitOverride()
    .showSuggestionAfterError();

  /** Adds the options every verb has and turns a rejection into a sentence and an exit code. */
  const verb = <O extends { json: boolean }>(
    name: string,
    description: string,
    run: (options: O, args: string[]) => Promise<number>,
  ): Command =>
    program
      .command(name)
      .description(description)
      .option("--json", "print JSON, one value a line", false)
      .option("--data-dir <folder>", "where the box keeps its data", DEFAULT_DATA_DIR)
      .action(async function (this: Command) {
        const options = { ...this.opts<O>(), version: facts.version };
        try {
          facts.exit(await run(options, this.args));
        } catch (error) {
          facts.exit(reportError(error, options.json));
        }
      });

  const offset = (): Option =>
    new Option("--port-offset <n>", "moves every port by this")
      .default(0)
      .argParser(integer(PORT_OFFSETS.lowest, PORT_OFFSETS.highest));
  const natsServer = (): Option =>
    new Option("--nats-server <program>", "nats-server to run").default(facts.natsServer);
  const nats = (): Option =>
    new Option("--nats <url>", "a NATS to talk to instead of the box here; nats://TOKEN@host:port");

  verb<import("./commands/up.js").UpOptions>("up", "run the embedded box until Ctrl-C", async (options) =>
    (await import("./commands/up.js")).up({ ...options, command: facts.command }),
  )
    .addOption(offset())
    .addOption(natsServer())
    .option("--host <address>", "address the device ports listen on", "0.0.0.0")
    .addOption(
      new Option("--durability <mode>", "acknowledge events after fsync (strict) or before (balanced)")
        .choices(["strict", "balanced"])
        .default("strict"),
    )
    .option(
      "--partitions <n>",
      "partitions of this data directory; fixed at its first start",
      integer(1, 256),
      DEFAULT_PARTITIONS,
    )
    .option("--workers <n>", "listener workers at start (default: cores - 1)", integer(1, 16))
    .option(
      "--max-store <size>",
      "disk that stored events may take, such as 8GiB",
      size(64 * 1024 ** 2, 2 ** 50),
      16 * GIB,
    );

  verb<import("./commands/reset.js").ResetOptions>(
    "reset",
    "forget what the box has stored",
    async (options) => (await import("./commands/reset.js")).reset(options),
  ).option("--yes", "do not ask", false);

  verb<import("./commands/send.js").SendOptions>(
    "send",
    "send one message as a device, or to one",
    async (options, args) => {
      const [device, path, text] = args as [string, string, string];
      return (await import("./commands/send.js")).send(device, path, Buffer.from(text), options);
    },
  )
    .argument("<device>", "device id")
    .argument("<path>", "topic, path or message type")
    .argument("<payload>", "text")
    .addOption(nats())
    .addOption(
      new Option("--protocol <name>", "how the device speaks")
        .choices(["http", "mqtt", "websocket", "tcp", "udp"])
        .default("http"),
    )
    .addOption(
      new Option("--lane <lane>", "stored before it is acknowledged, or fast and unstored")
        .choices(["event", "telemetry"])
        .default("event"),
    )
    .addOption(
      new Option("--to-device", "the other direction: to the device, over the connection it holds now")
        .default(false)
        .conflicts(["protocol", "lane"]),
    )
    .addOption(
      new Option(
        "--wait",
        "with --to-device, and implies it: succeed only when the device has acknowledged the message, within 10 s; else it is enough that it was written to the connection",
      )
        .default(false)
        .implies({ toDevice: true }),
    )
    .option(
      "--content-type <type>",
      "what the payload is; left out, application/json if it is that, else text/plain",
    );

  verb<import("./commands/tail.js").TailOptions>("tail", "show messages as they pass", async (options) =>
    (await import("./commands/tail.js")).tail(options),
  )
    .addOption(nats())
    .option("-d, --device <glob>", "only these devices; repeatable", list, [])
    .option("-t, --topic <filter>", "only paths that match this MQTT filter; repeatable", list, [])
    .option("-p, --protocol <name>", "only these protocols; repeatable", list, [])
    .option("-n, --count <n>", "end after so many", integer(1, 2 ** 31))
    .option("--rate <n>", "messages a second at most from each dispatcher", integer(1, 100_000), 2_000);

  verb<import("./commands/ledger.js").LedgerOptions>(
    "ledger",
    "show the books, hop by hop",
    async (options) => (await import("./commands/ledger.js")).ledger(options),
  )
    .addOption(nats())
    .option("-w, --watch <seconds>", "print again and again", integer(1, 3600));

  verb<import("./commands/apps.js").AppsOptions>(
    "apps",
    "show who subscribes and what waits for those that are away, or forget one for good",
    async (options, [action = "list", name]) =>
      (await import("./commands/apps.js")).apps(action, name, options),
  )
    .addArgument(
      new Argument("[action]", "list, describe or delete; list when left out")
        .choices(["list", "describe", "delete"])
        .default("list"),
    )
    .argument("[name]", "the app to describe or delete")
    .addOption(nats())
    .option("--force", "delete it although instances are connected", false);

  addResourceVerbs(verb, nats);
  addOperatorVerbs(verb, nats);
  addHistoryVerb(verb, nats);
  addAlarmsVerb(verb, nats);
  addAuditVerb(verb, nats);
  addCommandVerb(verb, nats);
  addDevicesVerb(verb, nats);
  addShadowVerb(verb, nats);
  addFlowsVerb(verb, nats);
  addRulesVerb(verb, nats);

  verb<import("./commands/retained.js").RetainedOptions>(
    "retained",
    "show retained messages, print one, or clear them",
    async (options, [action = "list", what]) =>
      (await import("./commands/retained.js")).retainedMessages(action, what, options),
  )
    .addArgument(
      new Argument("[action]", "list, get or clear; list when left out")
        .choices(["list", "get", "clear"])
        .default("list"),
    )
    .argument("[what]", "get: the topic; list and clear: an MQTT topic filter")
    .addOption(nats())
    .option("--tenant <name>", "of this tenant", "")
    .option("--limit <n>", "list: most messages that are shown", integer(1, 100_000), 1_000);

  verb<import("./commands/doctor.js").DoctorOptions>(
    "doctor",
    "look for what is missing or will run out",
    async (options) => (await import("./commands/doctor.js")).doctor(options),
  )
    .addOption(nats())
    .addOption(offset())
    .addOption(natsServer());

  verb<import("./commands/passwd.js").PasswdOptions>(
    "passwd",
    "make an entry for a users file; the password is asked for, or read from standard input",
    async (options, args) => (await import("./commands/passwd.js")).passwd(args[0] as string, options),
  )
    .argument("<user>", "user name")
    .option("--device <id>", "the one device this user is")
    .option("--scram", "let the user log in by SCRAM-SHA-256 too");

  program
    .command("complete")
    .description("print a completion script; for example: source <(myelin complete bash)")
    .argument("[shell]", "bash, zsh, fish or powershell");

  for (const service of SERVICE_NAMES) {
    const command = program
      .command(service, { hidden: service === "core" })
      .description(
        service === "core" ? "run dispatcher and ipc-bridge in one process" : `run the ${service} alone`,
      )
      .allowUnknownOption()
      .allowExcessArguments()
      .helpOption(false);
    command.action(async () => {
      facts.exit(
        await (await import("./commands/service.js")).runService(service, command.args, facts.version),
      );
    });
  }
  return program;
}

/** Runs one command line and gives the exit code; `argv` as the process got it. */
export async function runCommand(
  argv: readonly string[],
  facts: Omit<ProgramFacts, "exit">,
): Promise<number> {
  let code: number = EXIT.ok;
  const program = createProgram({
    ...facts,
    exit: (given) => {
      code = given;
    },
  });
  try {
    if (argv[2] === "complete") await complete(program, argv);
    else await program.parseAsync(argv);
  } catch (error) {
    const usage = usageExit(error);
    if (usage === undefined) throw error;
    code = usage;
  }
  return code;
}

/** The library's script for bash asks the package bash-completion for the words, which is not everywhere. */
const BASH_WORDS = `declare -F _get_comp_words_by_ref >/dev/null || _get_comp_words_by_ref() {
  words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]}
}`;

/** Loaded only here: the library is not small, and only shells ask for it. It brings a `complete` of its own. */
async function complete(program: Command, argv: readonly string[]): Promise<void> {
  const { default: tab } = await import("@bomb.sh/tab/commander");
  const own = program.commands as Command[];
  own.splice(
    own.findIndex((command) => command.name() === "complete"),
    1,
  );
  const root = tab(program);
  if (argv[3] === "--") await offerResources(root, argv.slice(4));
  if (argv[3] === "bash") print(BASH_WORDS);
  await program.parseAsync(argv);
}

type Completions = ReturnType<typeof import("@bomb.sh/tab/commander").default>;

async function offerResources(root: Completions, words: readonly string[]): Promise<void> {
  const verb = words.find((word) => (RESOURCE_VERBS as readonly string[]).includes(word));
  const command = verb === undefined ? undefined : root.commands.get(verb);
  if (command === undefined) return;
  const { first, names } = await (await import("./resources/completion.js")).offersFor(words);
  const [one, ...others] = command.arguments.values();
  if (one !== undefined)
    one.handler = (offer) => {
      for (const { value, description } of first) offer(value, description);
    };
  for (const other of others)
    other.handler = (offer) => {
      for (const { value, description } of names) offer(value, description);
    };
}

/** Exit code of what commander throws under `exitOverride`: 0 for help and version, 64 for bad usage. */
export function usageExit(error: unknown): number | undefined {
  const code = (error as { code?: unknown }).code;
  if (typeof code !== "string" || !code.startsWith("commander.")) return undefined;
  return (error as { exitCode: number }).exitCode === 0 ? EXIT.ok : EXIT.usage;
}
