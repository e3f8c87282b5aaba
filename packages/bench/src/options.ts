/** The command line of the bench. */
import { parseArgs } from "node:util";
import { AppError } from "@myelin/kernel";

/** `scenarios` and `systems` are checked names; `help` asks for the usage text and nothing else. */
export interface BenchOptions {
  readonly scenarios: readonly string[];
  readonly systems: readonly string[];
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly rounds: number | undefined;
  readonly connections: number;
  readonly payloadBytes: number;
  readonly json: boolean;
  readonly gather: boolean;
  readonly install: boolean;
  readonly help: boolean;
}

/** What there is to choose from. */
export interface Known {
  readonly scenarios: readonly string[];
  readonly systems: readonly string[];
}

export function usage(known: Known): string {
  return `npm run bench -- [SCENARIO…] [options]

scenarios  ${known.scenarios.join(", ")}; without a name all of them
--json               one JSON object on stdout, progress on stderr
--systems a,b        only these of ${known.systems.join(", ")}
--seconds 5          the measured window of each run
--warm-up 2          seconds of load before the window
--rounds N           alternating rounds; the scenario's own number where not given
--connections 50     publishers or HTTP connections
--payload 64         bytes of a message
--gather             the subscriber looks once per millisecond: fewer wake-ups for brokers that write one by one
--install            install or build peers that are missing (also done as root in CI)
`;
}

/** @throws AppError `internal.invalid_argument` with one sentence about what is wrong. */
export function parseOptions(args: readonly string[], known: Known): BenchOptions {
  const { values, positionals } = parse(args);
  const chosen = positionals.length > 0 ? positionals : known.scenarios;
  const systems = values.systems === undefined ? known.systems : values.systems.split(",");
  checkNames("scenario", chosen, known.scenarios);
  checkNames("system", systems, known.systems);
  const number = (
    name: "seconds" | "warm-up" | "rounds" | "connections" | "payload",
    least: number,
  ): number => {
    const value = Number(values[name]);
    if (Number.isFinite(value) && value >= least) return value;
    throw invalid(`--${name} wants a number of at least ${least}, not "${values[name]}"`);
  };
  return {
    scenarios: chosen,
    systems,
    seconds: number("seconds", 1),
    warmUpSeconds: number("warm-up", 0),
    rounds: values.rounds === undefined ? undefined : Math.trunc(number("rounds", 1)),
    connections: Math.trunc(number("connections", 1)),
    payloadBytes: Math.trunc(number("payload", 48)),
    json: values.json,
    gather: values.gather,
    install: values.install,
    help: values.help,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        gather: { type: "boolean", default: false },
        install: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        systems: { type: "string" },
        seconds: { type: "string", default: "5" },
        "warm-up": { type: "string", default: "2" },
        rounds: { type: "string" },
        connections: { type: "string", default: "50" },
        payload: { type: "string", default: "64" },
      },
    });
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
}

function checkNames(what: string, names: readonly string[], known: readonly string[]): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw invalid(`unknown ${what} "${unknown}"; there are ${known.join(", ")}`);
}

function invalid(message: string): AppError {
  return new AppError("internal.invalid_argument", message);
}
