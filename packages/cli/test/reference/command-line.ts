import { createProgram } from "../../src/program.js";
import { code, page, table } from "./page.js";

/** Run one service each and take the service's options instead of the common ones. */
const SERVICES = ["listener", "dispatcher", "ipc-bridge", "hardware-agent"];

/** Every verb of `myelin` with its arguments and options. */
export function commandLinePage(): string {
  const program = createProgram({
    version: "0",
    natsServer: "nats-server",
    command: "myelin",
    exit: () => undefined,
  });
  const verbs = program.commands.filter((verb) => !SERVICES.includes(verb.name()) && verb.name() !== "core");
  const services = program.commands.filter((verb) => SERVICES.includes(verb.name()));
  return page("Command line", "packages/cli/src/program.ts", [
    "`./bin/myelin VERB` in a checkout. Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,",
    "64 wrong usage, 69 something that is needed is not there, 78 bad configuration.",
    "",
    ...verbs.flatMap((verb) => [
      `## myelin ${verb.name()}`,
      "",
      `${sentence(verb.description())}`,
      "",
      "```",
      ["myelin", verb.name(), ...verb.registeredArguments.map((a) => `<${a.name()}>`), "[options]"].join(" "),
      "```",
      "",
      ...table(
        ["argument or option", "default", "meaning"],
        [
          ...verb.registeredArguments.map((a) => [code(`<${a.name()}>`), "", a.description]),
          ...verb.options.map((option) => [
            code(option.flags),
            defaultText(option.defaultValue),
            [option.description, ...(option.argChoices === undefined ? [] : [option.argChoices.join(", ")])]
              .filter((text) => text !== "")
              .join(": "),
          ]),
        ],
      ),
    ]),
    "## One service alone",
    "",
    ...services.map((verb) => `- ${code(`myelin ${verb.name()}`)}: ${verb.description()}`),
    "",
    "They take `--config FILE`, `--check-config`, `--print-config` and `--help`; all else is a [setting](settings.md).",
    "",
    "## Completion",
    "",
    "`myelin complete bash`, `zsh`, `fish` or `powershell` prints a script that completes verbs and options.",
  ]);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function defaultText(value: unknown): string {
  if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) return "";
  return code(String(value));
}
