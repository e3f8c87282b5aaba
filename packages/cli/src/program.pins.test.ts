import { expect, it } from "vitest";
import { createProgram } from "./program.js";

it("keeps its verbs and options", () => {
  const program = createProgram({
    version: "0",
    natsServer: "nats-server",
    command: "myelin",
    exit: () => undefined,
  });
  const lines = program.commands.map((verb) =>
    [
      verb.name(),
      ...verb.registeredArguments.map((argument) =>
        argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
      ),
      ...verb.options.map((option) => option.flags),
    ].join(" | "),
  );
  expect(lines).toMatchInlineSnapshot(`
    [
      "up | --json | --data-dir <folder> | --port-offset <n> | --nats-server <program> | --host <address> | --durability <mode> | --partitions <n> | --workers <n> | --max-store <size>",
      "reset | --json | --data-dir <folder> | --yes",
      "send | <device> | <path> | <payload> | --json | --data-dir <folder> | --nats <url> | --protocol <name> | --lane <lane> | --to-device | --wait | --content-type <type>",
      "tail | --json | --data-dir <folder> | --nats <url> | -d, --device <glob> | -t, --topic <filter> | -p, --protocol <name> | -n, --count <n> | --rate <n>",
      "ledger | --json | --data-dir <folder> | --nats <url> | -w, --watch <seconds>",
      "apps | [action] | [name] | --json | --data-dir <folder> | --nats <url> | --force",
      "apply | --json | --data-dir <folder> | -f, --filename <file> | -R, --recursive | --nats <url> | --dry-run | -o, --output <form>",
      "get | <kind> | [names] | --json | --data-dir <folder> | --nats <url> | -o, --output <form>",
      "describe | <kind> | [names] | --json | --data-dir <folder> | --nats <url>",
      "delete | [kind] | [names] | --json | --data-dir <folder> | -f, --filename <file> | -R, --recursive | --nats <url> | --dry-run | -o, --output <form> | --all | --ignore-not-found",
      "diff | --json | --data-dir <folder> | -f, --filename <file> | -R, --recursive",
      "explain | <path> | --json | --data-dir <folder> | --recursive",
      "clients | [action] | [client] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --limit <n> | --cursor <text> | -p, --protocol <name> | --protocol-version <version> | -u, --user <glob> | -d, --device <glob> | --listener <instance> | --since <when> | --reason <text>",
      "subscriptions | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --limit <n> | --cursor <text> | -c, --client <id> | -f, --filter <filter> | -t, --topic <topic>",
      "sessions | [action] | [client] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --limit <n> | --cursor <text>",
      "trace | --json | --data-dir <folder> | --nats <url> | --tenant <name> | -c, --client <id> | -t, --topic <filter> | -n, --count <n> | --rate <n> | --payload <bytes>",
      "history | <device> | [path] | --json | --data-dir <folder> | --nats <url> | --sink <name> | --tenant <name> | --point <name> | --from <when> | --to <when> | --order <which> | --latest | --every <duration> | --agg <fields> | --limit <n> | --csv",
      "alarms | [action] | [id] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | -d, --device <id> | --rule <name> | --severity <word> | --state <word> | --note <text> | --limit <n> | -n, --count <n>",
      "audit | [action] | --json | --data-dir <folder> | --nats <url>",
      "command | [action] | [what] | [name] | [parameters] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --wait <state> | --timeout <duration> | --ttl <duration> | --priority <n> | --key <text> | --override <reason> | --group <name> | --rate <n> | --stop-on-failures <n> | --state <state> | --limit <n>",
      "devices | [action] | [what] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --profile <name> | --group <name> | --tag <name=value> | --id-prefix <text> | --disabled | --presence <state> | --description <text> | --if-version <n> | --csv | --limit <n> | --after <id>",
      "shadow | <action> | <device> | [desired] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --name <name> | --replace | --if-version <n> | -n, --count <n>",
      "flows | [action] | [what] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --input <json> | --priority <n> | --key <text> | --watch | --status <word> | --limit <n>",
      "rules | <action> | <files> | --json | --data-dir <folder> | --nats <url> | --rule <name> | --sink <name> | --tenant <name> | -d, --device <id> | --from <when> | --to <when>",
      "retained | [action] | [what] | --json | --data-dir <folder> | --nats <url> | --tenant <name> | --limit <n>",
      "doctor | --json | --data-dir <folder> | --nats <url> | --port-offset <n> | --nats-server <program>",
      "passwd | <user> | --json | --data-dir <folder> | --device <id> | --scram",
      "complete | [shell]",
      "listener",
      "dispatcher",
      "ipc-bridge",
      "hardware-agent",
      "core",
    ]
  `);
});
