import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram } from "@myelin/testkit";
import { BUILD_DIR, sourceDir } from "../../paths.js";
import { startBroker } from "../broker.js";
import type { System } from "../system.js";
import { install } from "../tools.js";

const SOURCE = sourceDir("systems", "mochi-mqtt", "broker");

async function pinnedVersion(): Promise<string> {
  const text = await readFile(join(SOURCE, "go.mod"), "utf8");
  return /mochi-mqtt\/server\/v2 v(\S+)/.exec(text)?.[1] ?? "unknown";
}

async function binary(): Promise<string> {
  return join(BUILD_DIR, `mochi-mqtt-${await pinnedVersion()}`);
}

export const plugin: System = {
  name: "mochi-mqtt",
  protocols: ["mqtt"],
  async lack() {
    if (existsSync(await binary())) return undefined;
    if (findProgram("go") === undefined) {
      return {
        what: "mochi-mqtt is built with Go, which is not installed",
        remedy: "install Go from go.dev",
      };
    }
    return { what: "mochi-mqtt is not built", remedy: "add --install" };
  },
  async install() {
    await mkdir(BUILD_DIR, { recursive: true });
    await install("go", ["build", "-trimpath", "-o", await binary(), "."], { cwd: SOURCE });
  },
  async start({ connections }) {
    const [command, version] = [await binary(), await pinnedVersion()];
    // Each client gets a queue of this many entries, filled or not: plenty for few, the default for many.
    const pending = connections > 1_000 ? 8_192 : 262_144;
    return startBroker({
      name: "mochi-mqtt",
      version,
      protocol: "mqtt",
      async prepare(port) {
        return { command, args: ["-listen", `127.0.0.1:${port}`, "-pending", String(pending)] };
      },
    });
  },
};
