import { existsSync } from "node:fs";
import { chmod, rm, writeFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { install } from "../tools.js";

// invoke-rc.d(8) asks this file before it starts a daemon: 101 means no.
const POLICY = "/usr/sbin/policy-rc.d";

/**
 * Installs the Debian package and keeps its daemon from starting.
 * @throws AppError `setup.missing_tool` for anyone but root, for whom apt does nothing.
 */
export async function installDebian(): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new AppError("setup.missing_tool", "installing mosquitto needs root: apt-get install mosquitto");
  }
  const ours = !existsSync(POLICY);
  if (ours) {
    await writeFile(POLICY, "#!/bin/sh\nexit 101\n");
    await chmod(POLICY, 0o755);
  }
  try {
    const env = { DEBIAN_FRONTEND: "noninteractive" };
    await install("apt-get", ["update", "-q"], { env });
    await install("apt-get", ["install", "-y", "-q", "--no-install-recommends", "mosquitto"], { env });
  } finally {
    if (ours) await rm(POLICY, { force: true });
  }
}
