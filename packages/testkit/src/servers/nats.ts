/** A real nats-server. */
import { writeFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { findTool } from "../environment.js";
import { freePort, freePorts } from "../ports.js";
import { startProcess } from "../process/managed-process.js";
import { type TempDir, tempDir } from "../temp-dir.js";
import { serverOf, type TestServer } from "./server.js";

/** How the server under test differs from a plain one with JetStream. */
export interface NatsOptions {
  /** On unless false. */
  readonly jetstream?: boolean;
  /** When JetStream syncs to disk: `always`, or a duration such as `2m` (the server's own default). */
  readonly syncInterval?: string;
  /** More of the server's configuration, in its own format, put at the end of the file. */
  readonly config?: string;
  /** Taken from the free ports unless given. */
  readonly port?: number;
}

/** A nats-server and its monitoring pages. */
export interface NatsServer extends TestServer {
  /** Where the server answers `/varz`, `/jsz`, `/connz`, `/healthz`. */
  readonly monitorUrl: string;
}

/**
 * The nats-server that the set-up chose, else the one on PATH.
 * @throws AppError `setup.missing_tool` where there is none.
 */
export function natsServerPath(): string {
  const path = findTool("nats-server");
  if (path !== undefined) return path;
  throw new AppError("setup.missing_tool", "no nats-server in .tools/bin or on PATH; `npm test` brings one");
}

/** Starts a nats-server on loopback and resolves when its health page says that it, and JetStream, can be used. */
export async function startNats(options: NatsOptions = {}): Promise<NatsServer> {
  const command = natsServerPath();
  const port = options.port ?? (await freePort());
  const [monitorPort] = (await freePorts(1)) as [number];
  const dir = await tempDir("nats");
  const monitorUrl = `http://127.0.0.1:${monitorPort}`;
  try {
    const file = dir.join("nats.conf");
    await writeFile(file, natsConfig(options, port, monitorPort, dir));
    const process = await startProcess({
      name: "nats-server",
      command,
      args: ["--config", file],
      ready: { url: `${monitorUrl}/healthz` },
    });
    return { ...serverOf(process, dir, "nats", port), monitorUrl };
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}

function natsConfig(options: NatsOptions, port: number, monitorPort: number, dir: TempDir): string {
  const { jetstream = true, syncInterval, config = "" } = options;
  const lines = [`listen: "127.0.0.1:${port}"`, `http: "127.0.0.1:${monitorPort}"`];
  if (jetstream) {
    lines.push("jetstream {", `  store_dir: ${JSON.stringify(dir.join("jetstream"))}`);
    // Bounded, so that a runaway test fails by itself instead of filling the disk of the machine; the streams reserve half of it.
    lines.push("  max_memory_store: 268435456", "  max_file_store: 17179869184");
    if (syncInterval !== undefined) lines.push(`  sync_interval: ${syncInterval}`);
    lines.push("}");
  }
  return `${lines.join("\n")}\n${config}\n`;
}
