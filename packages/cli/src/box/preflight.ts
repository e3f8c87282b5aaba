/** Everything that can be wrong before a box starts, each found and said in one sentence. */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { access, constants, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { AppError } from "@myelin/kernel";
import {
  ADMIN_PORTS_OF_WORKERS,
  type BoxLayout,
  type BoxPort,
  type BoxPorts,
  PORT_PURPOSE,
} from "./layout.js";
import { commandLine, isAlive } from "./process-id.js";

/** What is written about a running box for the other commands; contains no secret. */
export interface BoxFile {
  readonly pid: number;
  readonly startedAt: string;
  readonly version: string;
  readonly ports: BoxPorts;
  readonly natsUrl: string;
  readonly natsTokenFile: string;
  readonly natsVersion: string;
  readonly appSocket: string;
  readonly processes: readonly { name: string; pid: number | undefined; restarts: number; admin?: number }[];
}

function errno(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "";
}

/**
 * Makes the folders of the box.
 * @throws AppError `setup.read_only` when one cannot be made or written
 */
export async function makeFolders(layout: BoxLayout): Promise<void> {
  for (const folder of [
    layout.root,
    layout.run,
    layout.secrets,
    layout.jetstream,
    layout.resources,
    layout.output,
    layout.cache,
    layout.logs,
  ]) {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await access(folder, constants.W_OK);
      await writeFile(`${folder}/.writable`, "");
      await rm(`${folder}/.writable`);
    } catch (cause) {
      const why = errno(cause) === "ENOSPC" ? "the disk is full" : "it cannot be written";
      throw new AppError(
        "setup.read_only",
        `The folder ${folder} is needed, but ${why}. Choose another one with --data-dir.`,
        { cause, details: { folder, errno: errno(cause) } },
      );
    }
  }
}

/** The box that runs on this data directory, if any. */
export async function runningBox(layout: BoxLayout): Promise<BoxFile | undefined> {
  let text: string;
  try {
    text = await readFile(layout.boxFile, "utf8");
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw error;
  }
  let box: BoxFile;
  try {
    box = JSON.parse(text) as BoxFile;
  } catch {
    // Torn by a power cut: the box that wrote it is gone.
    return undefined;
  }
  return (await isBox(box.pid, layout)) ? box : undefined;
}

/** The CLI as it is started from a build, a bundle or an installed package. */
const CLI_FILE = /(^|[\\/])(main\.m?js|myelin)$/;

/**
 * After a kill the id of the old box may be another program's, and in a restarted container even our own.
 * Where the command line cannot be read, a living process counts as the box: two boxes must never share a store.
 */
async function isBox(pid: number, layout: BoxLayout): Promise<boolean> {
  if (pid === process.pid || !isAlive(pid)) return false;
  const args = await commandLine(pid);
  if (args === undefined) return isAlive(pid);
  return args.includes("up") && args.some((arg) => CLI_FILE.test(arg) || arg.includes(layout.root));
}

/** Writes the box file so that a reader sees the old or the new one, never half. */
export async function writeBoxFile(layout: BoxLayout, box: BoxFile): Promise<void> {
  const next = `${layout.boxFile}.next`;
  await writeFile(next, `${JSON.stringify(box, null, 2)}\n`, { mode: 0o600 });
  await rename(next, layout.boxFile);
}

/** The token services log in to NATS with; made once per data directory. */
export async function natsToken(layout: BoxLayout): Promise<string> {
  try {
    return (await readFile(layout.natsToken, "utf8")).trim();
  } catch (error) {
    if (errno(error) !== "ENOENT") throw error;
  }
  const token = randomBytes(32).toString("hex");
  await writeFile(layout.natsToken, `${token}\n`, { mode: 0o600, flag: "wx" });
  return token;
}

/**
 * Finds out whether every port can be had, all of them at once.
 * @throws AppError `setup.port_in_use` or `setup.port_forbidden`, naming each port and its use
 */
export async function checkPorts(
  ports: BoxPorts,
  hosts: Readonly<Record<BoxPort, string>>,
  workers: number,
): Promise<void> {
  const taken: string[] = [];
  let forbidden = false;
  for (const name of Object.keys(ports) as BoxPort[]) {
    const code = await (name === "mcpUdp" ? tryUdp : tryTcp)(ports[name], hosts[name]);
    if (code === undefined) continue;
    if (code === "EACCES") forbidden = true;
    taken.push(`${ports[name]} (${PORT_PURPOSE[name]})`);
  }
  for (let index = 0; index < workers; index++) {
    const port = ports.admin + ADMIN_PORTS_OF_WORKERS + index;
    if ((await tryTcp(port, hosts.admin)) !== undefined) {
      taken.push(`${port} (health and metrics of listener-${index})`);
    }
  }
  if (taken.length === 0) return;
  const list = taken.join(", ");
  const many = taken.length > 1;
  throw forbidden
    ? new AppError(
        "setup.port_forbidden",
        `This user may not listen on port ${list}. Start with --port-offset.`,
      )
    : new AppError(
        "setup.port_in_use",
        `Port${many ? "s" : ""} ${list} ${many ? "are" : "is"} in use by another program. ` +
          "End that program, or start with --port-offset 1000.",
        { details: { ports: taken } },
      );
}

function tryTcp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(errno(error)));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function tryUdp(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.once("error", (error) => {
      socket.close();
      resolve(errno(error));
    });
    socket.bind({ port, address: host, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}
