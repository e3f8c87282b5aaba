/** Where things lie. Nothing outside the repository is written, except by the package managers' own caches. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const TOOLS = join(ROOT, ".tools");
export const BIN = join(TOOLS, "bin");

/** Names the platform as the pins do. */
export const PLATFORM = `${process.platform}-${process.arch}`;
