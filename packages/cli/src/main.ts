#!/usr/bin/env node
/** Entry of the `myelin` command. */
import { existsSync, readFileSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { isServiceName, SUPERVISE } from "./service-names.js";

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
const [, , verb = "", ...rest] = process.argv;
if (isServiceName(verb)) {
  // Past the parser of verbs and options, which a service would keep in memory as long as it runs.
  const { runService } = await import("./commands/service.js");
  process.exitCode = await runService(verb, rest, version);
} else if (verb === SUPERVISE && rest[0] !== undefined) {
  const { supervise } = await import("./commands/supervise.js");
  process.exitCode = await supervise(rest[0]);
} else {
  const { runCommand } = await import("./program.js");
  const { endWithReader } = await import("./output.js");
  // A box runs on when nobody reads what it says.
  if (verb !== "up") endWithReader();
  const bundledNats = fileURLToPath(new URL("../../.tools/bin/nats-server", folder));
  const natsServer = existsSync(bundledNats) ? bundledNats : "nats-server";
  const script = fileURLToPath(new URL("../../bin/myelin", folder));
  const command = existsSync(script) ? `./${relative(process.cwd(), script)}` : "myelin";
  process.exitCode = await runCommand(process.argv, { version, natsServer, command });
}
