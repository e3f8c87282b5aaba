/** Where the command line writes: results to standard output, everything else to standard error. */
import { styleText } from "node:util";
import { AppError } from "@myelin/kernel";
import pc from "picocolors";

/** Node looks at the stream, NO_COLOR and FORCE_COLOR; picocolors alone would also colour pipes wherever CI is set. */
function coloursFor(stream: NodeJS.WriteStream): ReturnType<typeof pc.createColors> {
  return pc.createColors(styleText("red", "x", { stream }) !== "x");
}

/** Colours of what is printed as a result. */
export const colour = coloursFor(process.stdout);
const noteColour = coloursFor(process.stderr);

/** One line of result. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** One line that is not a result: progress, warnings. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A result for programs: one JSON value on one line. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Exit codes, as in sysexits.h where one fits. */
export const EXIT = { ok: 0, failed: 1, usage: 64, unavailable: 69, config: 78 } as const;

/** Says what went wrong in one sentence (or as JSON) and returns the exit code. Stacks only for defects of ours. */
export function reportError(error: unknown, json: boolean): number {
  const known = AppError.is(error) ? error : undefined;
  if (json) {
    printJson({
      error: known?.toWire() ?? { code: "internal.unexpected", message: String(error), retryable: false },
    });
  } else if (known !== undefined && known.family !== "ours") {
    note(`${noteColour.red("myelin:")} ${known.message}`);
  } else {
    note(
      `${noteColour.red("myelin:")} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
  if (known?.code.startsWith("config.")) return EXIT.config;
  return known?.family === "world" || known?.code.startsWith("setup.") ? EXIT.unavailable : EXIT.failed;
}
