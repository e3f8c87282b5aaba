/** A real Mosquitto broker. */
import { writeFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { findProgram } from "../environment.js";
import { freePort } from "../ports.js";
import { startProcess } from "../process/managed-process.js";
import { tempDir } from "../temp-dir.js";
import { serverOf, type TestServer } from "./server.js";

/** How the broker under test differs from a plain one. */
export interface MosquittoOptions {
  /** Lines of `mosquitto.conf`, put after the listener. */
  readonly config?: string;
}

/**
 * Starts a Mosquitto that lets everybody in and keeps nothing on disk, on loopback.
 * Guard tests that call it with `requires.program("mosquitto")`.
 * @throws AppError `setup.missing_tool` where it is not installed.
 */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<TestServer> {
  const command = findProgram("mosquitto");
  if (command === undefined) throw new AppError("setup.missing_tool", "mosquitto is not installed");
  const port = await freePort();
  const dir = await tempDir("mosquitto");
  try {
    const lines = [`listener ${port} 127.0.0.1`, "allow_anonymous true", "persistence false"];
    // Started by root it becomes the user "mosquitto", who may not read our folder.
    if (process.getuid?.() === 0) lines.push("user root");
    const file = dir.join("mosquitto.conf");
    await writeFile(file, `${lines.join("\n")}\n${options.config ?? ""}\n`);
    const managed = await startProcess({
      name: "mosquitto",
      command,
      args: ["-c", file],
      ready: { port },
    });
    return serverOf(managed, dir, "mqtt", port);
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}
