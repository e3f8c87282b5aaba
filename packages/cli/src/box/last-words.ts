/** Why a process did not start, as far as its log tells. */

/** More than a stack trace with its line of JSON. */
const MAX_BYTES = 16 * 1024;

/** Keeps the end of what a process writes. */
export class LastWords {
  #text = "";

  add(chunk: Buffer): void {
    this.#text = (this.#text + chunk.toString("latin1")).slice(-MAX_BYTES);
  }

  /** The last complaint in it, one line; undefined where there is none. */
  complaint(): string | undefined {
    const text = Buffer.from(this.#text, "latin1").toString("utf8");
    return text
      .split("\n")
      .map(complaintOf)
      .findLast((line) => line !== undefined);
  }
}

const COMPLAINTS = ["warn", "error", "fatal"];

/** A line of ours says it in JSON, one of nats-server after its mark; problems of a configuration stand in lines of their own. */
function complaintOf(line: string): string | undefined {
  if (!line.startsWith("{")) return /(?:\[(?:ERR|FTL)\] |^ {2}(?=\S+: .* must be ))(.*)/.exec(line)?.[1];
  let entry: { level?: string; msg?: string; problem?: string; err?: { message?: string } };
  try {
    entry = JSON.parse(line) as typeof entry;
  } catch {
    // The first line may be cut, and what is not ours may begin like JSON.
    return undefined;
  }
  if (!COMPLAINTS.includes(entry.level ?? "")) return undefined;
  return (entry.err?.message ?? entry.problem ?? entry.msg)?.split("\n", 1)[0];
}
