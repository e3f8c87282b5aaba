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

/** For a verb: when whoever reads its output has read enough, as in `myelin tail | head`, it ends without a word. */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && stream === process.stdout)
        note(`myelin: cannot write the output: ${error.message}`);
      process.exit(error.code === "EPIPE" ? EXIT.brokenPipe : EXIT.failed);
    });
  }
}

/** For what runs on: a closed terminal or a full disk behind its output must not end it. */
export function outliveReader(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
}

/** Strangers' text without what would act on a terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is being replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

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

/** Exit codes, as in sysexits.h where one fits; a broken pipe ends as the shell shows SIGPIPE. */
export const EXIT = { ok: 0, failed: 1, usage: 64, unavailable: 69, config: 78, brokenPipe: 141 } as const;

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
