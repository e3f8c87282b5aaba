import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram, freePort } from "@myelin/testkit";
import { BUILD_DIR } from "../../paths.js";
import { startBroker } from "../broker.js";
import type { System } from "../system.js";
import { install } from "../tools.js";
import { configuration } from "./configuration.js";

const VERSION = "0.20.0";
const ROOT = join(BUILD_DIR, `rumqttd-${VERSION}`);
const BINARY = join(ROOT, "bin", "rumqttd");

export const plugin: System = {
  name: "rumqttd",
  protocols: ["mqtt"],
  async lack() {
    if (existsSync(BINARY)) return undefined;
    if (findProgram("cargo") === undefined) {
      return {
        what: "rumqttd is built with Cargo, which is not installed",
        remedy: "install Rust from rustup.rs",
      };
    }
    return { what: "rumqttd is not built", remedy: "add --install (takes some minutes)" };
  },
  async install() {
    await mkdir(ROOT, { recursive: true });
    // Not --locked: a dependency that the crate's lock file pins no longer compiles.
    await install("cargo", ["install", "rumqttd", "--version", VERSION, "--root", ROOT]);
  },
  async start({ connections }) {
    const consolePort = await freePort();
    return startBroker({
      name: "rumqttd",
      version: VERSION,
      protocol: "mqtt",
      async prepare(port, dir) {
        const file = dir.join("rumqttd.toml");
        await writeFile(file, configuration({ port, consolePort, connections }));
        return { command: BINARY, args: ["--quiet", "--config", file] };
      },
    });
  },
};
