/** What an operator does to a box while it runs: other resources, a look at its metrics, its command line. */
import { execFile } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Operable } from "../system.js";

const FILE = "operable.yaml";
const ASK_MS = 10_000;
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

const run = promisify(execFile);

/** @param command the one that has started the box */
export function operable(dataDir: string, adminPort: number, command: string): Operable {
  const folder = join(dataDir, "resources");
  return {
    dataDir,
    async putResources(yaml) {
      await mkdir(folder, { recursive: true });
      const partial = join(dataDir, `${FILE}.partial`);
      await writeFile(partial, yaml);
      await rename(partial, join(folder, FILE));
    },
    async metric(name) {
      const answer = await fetch(`http://127.0.0.1:${adminPort}/metrics`, {
        signal: AbortSignal.timeout(ASK_MS),
      });
      let sum = 0;
      for (const line of (await answer.text()).split("\n"))
        if (line.startsWith(`${name} `) || line.startsWith(`${name}{`))
          sum += Number(line.slice(line.lastIndexOf(" ")));
      return sum;
    },
    async run(args, timeoutMs) {
      const options = { timeout: timeoutMs, maxBuffer: MAX_OUTPUT_BYTES };
      const { stdout, stderr } = await run(command, [...args, "--data-dir", dataDir], options);
      return { stdout, stderr };
    },
  };
}
