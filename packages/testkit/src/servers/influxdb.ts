/** A real InfluxDB server, version 1. */
import { writeFile } from "node:fs/promises";
import { freePort } from "../ports.js";
import { startProcess } from "../process/managed-process.js";
import { tempDir } from "../temp-dir.js";
import { serverOf, type TestServer } from "./server.js";

/**
 * Starts an InfluxDB without users, on loopback, with nothing in it.
 * Guard tests that call it with `requires.program("influxd")`.
 */
export async function startInfluxdb(): Promise<TestServer> {
  const port = await freePort();
  const backupPort = await freePort();
  const dir = await tempDir("influxdb");
  const config = `
reporting-enabled = false
bind-address = "127.0.0.1:${backupPort}"
[meta]
  dir = "${dir.join("meta")}"
[data]
  dir = "${dir.join("data")}"
  wal-dir = "${dir.join("wal")}"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:${port}"
  log-enabled = false
`;
  try {
    await writeFile(dir.join("influxdb.conf"), config);
    const managed = await startProcess({
      name: "influxdb",
      command: "influxd",
      args: ["run", "-config", dir.join("influxdb.conf")],
      ready: { line: /Listening on HTTP/ },
      readyMs: 60_000,
    });
    return serverOf(managed, dir, "http", port);
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}
