/** A real PostgreSQL server. */
import { execFile } from "node:child_process";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { AppError } from "@myelin/kernel";
import { freePort } from "../ports.js";
import { startProcess } from "../process/managed-process.js";
import { tempDir } from "../temp-dir.js";
import { asAccount, type ServerTls, writeTls } from "./account.js";
import { serverOf, type TestServer } from "./server.js";

const run = promisify(execFile);
const FOLDER = "/usr/lib/postgresql";
/** Made by the package: the server does not run as root. */
const ACCOUNT = "postgres";

/** What the server is started with beyond what it needs. */
export interface PostgresqlOptions {
  /** Certificate and key in PEM form, for clients that want TLS. */
  readonly tls?: ServerTls | undefined;
}

/**
 * Starts a PostgreSQL with a database `postgres` and a user `myelin` without a password, on loopback.
 * Guard tests that call it with `requires.program("pg_createcluster")`, which comes with Debian's package.
 * @throws AppError `setup.missing_tool` where it is not installed.
 */
export async function startPostgresql({ tls }: PostgresqlOptions = {}): Promise<TestServer> {
  const bin = await programs();
  const port = await freePort();
  const dir = await tempDir("postgresql");
  const data = dir.join("data");
  try {
    await mkdir(data, { mode: 0o700 });
    const { cert, key } = await writeTls(dir, tls);
    const as = await asAccount(ACCOUNT, dir.path, [data, ...(cert && key ? [cert, key] : [])]);
    const init = ["-D", data, "-U", "myelin", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"];
    const [initdb = "", ...initArgs] = [...as, join(bin, "initdb"), ...init];
    await run(initdb, initArgs, { cwd: "/" });
    const serve = ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", data, "-c", "max_connections=50"];
    const secure = ["ssl=on", `ssl_cert_file=${cert}`, `ssl_key_file=${key}`].flatMap((it) => ["-c", it]);
    if (tls !== undefined) serve.push(...secure);
    const [command = "", ...args] = [...as, join(bin, "postgres"), ...serve];
    const managed = await startProcess({
      name: "postgresql",
      command,
      args,
      cwd: "/",
      // SIGTERM waits until the last client has gone (PostgreSQL, 19.5).
      stopSignal: "SIGINT",
      ready: { line: /database system is ready to accept connections/ },
      readyMs: 60_000,
    });
    return serverOf(managed, dir, "postgresql", port);
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}

/** The folder of the newest version. */
async function programs(): Promise<string> {
  const versions = await readdir(FOLDER).catch(() => []);
  const [newest] = versions.map(Number).sort((a, b) => b - a);
  if (newest === undefined) throw new AppError("setup.missing_tool", "postgresql is not installed");
  return join(FOLDER, String(newest), "bin");
}
