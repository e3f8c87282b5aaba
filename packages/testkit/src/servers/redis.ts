/** A real Redis server. */
import { freePort } from "../ports.js";
import { startProcess } from "../process/managed-process.js";
import { tempDir } from "../temp-dir.js";
import { type ServerTls, writeTls } from "./account.js";
import { serverOf, type TestServer } from "./server.js";

/** What the server is started with beyond what it needs. */
export interface RedisOptions {
  /** Certificate and key in PEM form; clients must use TLS then. */
  readonly tls?: ServerTls | undefined;
  /** As on its command line, such as `["--requirepass", "x"]`. */
  readonly args?: readonly string[];
}

/**
 * Starts a Redis on loopback that writes each change to disk before it answers, so that a kill loses nothing.
 * Guard tests that call it with `requires.program("redis-server")`.
 */
export async function startRedis({ tls, args: more = [] }: RedisOptions = {}): Promise<TestServer> {
  const port = await freePort();
  const dir = await tempDir("redis");
  try {
    const { cert = "", key = "" } = await writeTls(dir, tls);
    const plain = ["--port", String(port)];
    const secure = ["--port", "0", "--tls-port", String(port), "--tls-auth-clients", "no"];
    const files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert];
    const durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
    const managed = await startProcess({
      name: "redis",
      command: "redis-server",
      args: [
        ...(tls === undefined ? plain : [...secure, ...files]),
        ...["--bind", "127.0.0.1", "--dir", dir.path],
        ...durable,
        ...more,
      ],
      cwd: dir.path,
      ready: { line: /Ready to accept connections/ },
      readyMs: 60_000,
    });
    return serverOf(managed, dir, tls === undefined ? "redis" : "rediss", port);
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}
