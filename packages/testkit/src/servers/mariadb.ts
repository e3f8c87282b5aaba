/** A real MariaDB server. */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort } from "../ports.js";
import { startProcess } from "../process/managed-process.js";
import { tempDir } from "../temp-dir.js";
import { asAccount, type ServerTls, writeTls } from "./account.js";
import { serverOf, type TestServer } from "./server.js";

const run = promisify(execFile);
/** Made by the package: the server does not run as root. */
const ACCOUNT = "mysql";

// Run at each start, before clients are let in.
const INIT = `
  CREATE DATABASE IF NOT EXISTS myelin CHARACTER SET utf8mb4;
  CREATE USER IF NOT EXISTS myelin@'%';
  GRANT ALL ON myelin.* TO myelin@'%';
`;

/** What the server is started with beyond what it needs. */
export interface MariadbOptions {
  /** Certificate and key in PEM form, for clients that want TLS. */
  readonly tls?: ServerTls | undefined;
  /** As on its command line, such as `--max-connections=5`. */
  readonly args?: readonly string[];
}

/**
 * Starts a MariaDB with a database `myelin` and a user `myelin` without a password, on loopback.
 * Guard tests that call it with `requires.program("mariadbd")`.
 */
export async function startMariadb({ tls, args: more = [] }: MariadbOptions = {}): Promise<TestServer> {
  const port = await freePort();
  const dir = await tempDir("mariadb");
  const data = dir.join("data");
  try {
    await mkdir(data, { mode: 0o700 });
    // A server that starts removes temporary tables that lie beside its own, those of others that run included.
    const scratch = dir.join("tmp");
    await mkdir(scratch, { mode: 0o700 });
    const files = await writeTls(dir, tls);
    await writeFile(dir.join("init.sql"), INIT.replaceAll(/\s+/g, " ").replaceAll(";", ";\n"));
    const as = await asAccount(ACCOUNT, dir.path, [data, scratch, ...Object.values(files)]);
    const common = ["--no-defaults", `--datadir=${data}`, `--tmpdir=${scratch}`];
    const init = [
      "mariadb-install-db",
      ...common,
      "--skip-test-db",
      "--auth-root-authentication-method=normal",
    ];
    const [install = "", ...installArgs] = [...as, ...init];
    await run(install, installArgs, { cwd: "/" });
    const serve = [
      "mariadbd",
      ...common,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      `--socket=${join(data, "socket")}`,
      `--pid-file=${join(data, "pid")}`,
      `--init-file=${dir.join("init.sql")}`,
      "--innodb-log-file-size=32M",
      ...Object.entries(files).map(([name, file]) => `--ssl-${name}=${file}`),
      ...more,
    ];
    const [command = "", ...args] = [...as, ...serve];
    const managed = await startProcess({
      name: "mariadb",
      command,
      args,
      cwd: "/",
      ready: { line: /mariadbd: ready for connections/ },
      readyMs: 60_000,
    });
    return serverOf(managed, dir, "mysql", port);
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}
