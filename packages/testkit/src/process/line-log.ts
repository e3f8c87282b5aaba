/** The last lines a process wrote. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** Keeps the newest 2,000 lines; older ones are dropped, for a test reads the end of a log. */
export class LineLog {
  static readonly MAX_LINES = 2_000;
  readonly #lines: string[] = [];

  append(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LineLog.MAX_LINES) this.#lines.shift();
  }

  lines(): readonly string[] {
    return this.#lines;
  }
}

/** Appends each line of the stream to every log, until the stream ends. */
export function readLines(stream: Readable, logs: readonly LineLog[]): void {
  const reader = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  // A pipe that breaks because its process was killed is the end of the log, not an error of the test.
  stream.on("error", () => reader.close());
  reader.on("line", (line) => {
    for (const log of logs) log.append(line);
  });
}
