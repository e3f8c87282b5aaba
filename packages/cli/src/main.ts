#!/usr/bin/env node
/** Entry of the `myelin` command. */
import { existsSync, readFileSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";
import { createProgram, usageExit } from "./program.js";

enableCompileCache();

/** The folder of this package: the code lies in `dist` or, bundled, one level deeper. */
function packageFolder(): URL {
  for (const up of ["../", "../../"]) {
    const folder = new URL(up, import.meta.url);
    if (existsSync(new URL("package.json", folder))) return folder;
  }
  return new URL("./", import.meta.url);
}

const folder = packageFolder();
const { version } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8")) as { version: string };
const bundledNats = fileURLToPath(new URL("../../.tools/bin/nats-server", folder));

let code = 0;
const program = createProgram({
  version,
  natsServer: existsSync(bundledNats) ? bundledNats : "nats-server",
  exit: (given) => {
    code = given;
  },
});
const isCompletion = process.argv[2] === "complete";
if (isCompletion) {
  // Only here: the library is not small, and only shells ask for it.
  const { default: tab } = await import("@bomb.sh/tab/commander");
  tab(program);
}
try {
  await program.parseAsync();
} catch (error) {
  const usage = usageExit(error);
  if (usage === undefined) throw error;
  code = usage;
}
process.exitCode = code;
