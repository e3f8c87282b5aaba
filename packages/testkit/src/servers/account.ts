/** Servers that refuse to run as root get an account of their own, which their package has made. */
import { chmod, chown, readFile, writeFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { findProgram } from "../environment.js";
import type { TempDir } from "../temp-dir.js";

/**
 * What stands before a command so that it does not run as root; nothing where nobody is root. Files and folders are
 * given to the account, and their parent may be passed through.
 * @throws AppError `setup.missing_tool`
 */
export async function asAccount(
  account: string,
  parent: string,
  owned: readonly string[],
): Promise<string[]> {
  if (process.getuid?.() !== 0) return [];
  const setpriv = findProgram("setpriv");
  const accounts = await readFile("/etc/passwd", "utf8");
  const [, , uid, gid] =
    accounts
      .split("\n")
      .map((line) => line.split(":"))
      .find(([name]) => name === account) ?? [];
  if (setpriv === undefined || uid === undefined || gid === undefined) {
    throw new AppError("setup.missing_tool", `there is no account ${account}, or no setpriv to use it`);
  }
  await chmod(parent, 0o711);
  for (const one of owned) await chown(one, Number(uid), Number(gid));
  return [setpriv, `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
}

/** Certificate and key of a server, in PEM form. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
}

/** Writes them where the server finds them, closed to others, as servers want it. */
export async function writeTls(dir: TempDir, tls: ServerTls | undefined): Promise<Partial<ServerTls>> {
  if (tls === undefined) return {};
  const files = { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
  await writeFile(files.cert, tls.cert);
  await writeFile(files.key, tls.key, { mode: 0o600 });
  return files;
}
