/** The corpus: inputs in hex, one a line, with what they are behind a #. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What stands in front of an input: a good CONNECT of a version, or nothing. */
export type Opening = 4 | 5 | undefined;

export interface Input {
  readonly opening: Opening;
  readonly bytes: Buffer;
}

const FILES: readonly (readonly [string, Opening])[] = [
  ["mqtt-3.hex", 4],
  ["mqtt-5.hex", 5],
  ["handshakes.hex", undefined],
];

/** Every input there is. */
export function loadCorpus(): Input[] {
  return FILES.flatMap(([name, opening]) => {
    const lines = readFileSync(join(import.meta.dirname, "corpus", name), "utf8").split("\n");
    return lines
      .map((line) => line.replace(/#.*/, "").replaceAll(" ", ""))
      .filter((line) => line !== "")
      .map((line) => ({ opening, bytes: Buffer.from(line, "hex") }));
  });
}

/** The file an input belongs to, and its line. */
export function describeInput({ opening, bytes }: Input): string {
  const file = FILES.find(([, one]) => one === opening)![0];
  return `${file}: ${bytes.toString("hex")}`;
}
