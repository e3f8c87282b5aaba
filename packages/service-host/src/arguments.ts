/** The command line of a service process. */
import { parseArgs } from "node:util";
import { AppError } from "@myelin/kernel";

/** What to do: run, or look at the configuration only. */
export interface ProcessArguments {
  readonly config: string | undefined;
  readonly mode: "run" | "check" | "print" | "help";
}

/** What `--help` prints. */
export const USAGE = `options:
  --config FILE    read settings from a YAML file
  --check-config   check the settings and end: 0 when they are good, 78 when not
  --print-config   print every setting with where it comes from, and end
Settings also come from the environment: MYELIN_LOG__LEVEL sets log.level.
`;

/** @throws AppError `config.invalid` for an option that does not exist. */
export function parseArguments(argv: readonly string[]): ProcessArguments {
  try {
    const { values } = parseArgs({
      args: [...argv],
      strict: true,
      allowPositionals: false,
      options: {
        config: { type: "string" },
        "check-config": { type: "boolean" },
        "print-config": { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    const mode = values.help
      ? "help"
      : values["check-config"]
        ? "check"
        : values["print-config"]
          ? "print"
          : "run";
    return { config: values.config, mode };
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new AppError("config.invalid", `${what}\n${USAGE}`, { cause });
  }
}
