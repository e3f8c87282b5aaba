/** `myelin doctor`: what is there, what is missing, what will run out; each finding with its remedy. */
import { access, constants, readFile, statfs } from "node:fs/promises";
import { availableParallelism, freemem, totalmem } from "node:os";
import path from "node:path";
import { AppError } from "@myelin/kernel";
import { type BoxFile, runningBox } from "../box/box-file.js";
import type { ReachOptions } from "../box/connection.js";
import { takenPorts } from "../box/free-ports.js";
import {
  ADMIN_PORT_OF_AGENT,
  ADMIN_PORTS_OF_WORKERS,
  type BoxLayout,
  boxLayout,
  boxPorts,
} from "../box/layout.js";
import { usableNatsServer } from "../box/nats-server.js";
import { answersOk } from "../box/probe.js";
import { isAlive } from "../box/process-id.js";
import { hasRoom } from "../box/room.js";
import { colour, EXIT, print, printJson } from "../output.js";
import { withBus } from "./client.js";

export interface DoctorOptions extends ReachOptions {
  readonly json: boolean;
  readonly portOffset: number;
  readonly natsServer: string;
}

/** One check. `bad` makes the exit code 1, `warn` does not. */
export interface Finding {
  readonly check: string;
  readonly level: "ok" | "warn" | "bad";
  readonly found: string;
  readonly remedy?: string;
}

const WANTED_FILES = 10_000;
const WANTED_DISK_BYTES = 2 * 1024 ** 3;
const SLOW_RTT_MS = 20;
/** Where `up` listens unless told otherwise. */
const ANY_ADDRESS = "0.0.0.0";

export async function doctor(options: DoctorOptions): Promise<number> {
  const findings: Finding[] = [
    checkNode(),
    await checkNatsServer(options.natsServer),
    await checkFiles(),
    await checkDisk(options.dataDir),
    checkMemory(),
    ...(await checkSystem(options)),
  ];
  const bad = findings.some((finding) => finding.level === "bad");
  if (options.json) printJson({ findings, ok: !bad });
  else for (const finding of findings) printFinding(finding);
  return bad ? EXIT.failed : EXIT.ok;
}

function printFinding({ check, level, found, remedy }: Finding): void {
  const mark = { ok: colour.green("ok  "), warn: colour.yellow("warn"), bad: colour.red("bad ") }[level];
  print(
    `${mark} ${colour.bold(check.padEnd(18))} ${found}${remedy === undefined ? "" : `\n     → ${remedy}`}`,
  );
}

function checkNode(): Finding {
  const found = `Node ${process.versions.node}, ${availableParallelism()} cores`;
  return Number(process.versions.node.split(".")[0]) >= 24
    ? { check: "Node", level: "ok", found }
    : {
        check: "Node",
        level: "bad",
        found,
        remedy: "Start through npm start or bin/myelin: they bring Node 24.",
      };
}

async function checkNatsServer(command: string): Promise<Finding> {
  const check = "nats-server";
  try {
    return { check, level: "ok", found: `${await usableNatsServer(command)} (${command})` };
  } catch (error) {
    return { check, level: "bad", found: AppError.from(error).message };
  }
}

async function checkFiles(): Promise<Finding> {
  const check = "open files";
  let text: string;
  try {
    text = await readFile("/proc/self/limits", "utf8");
  } catch {
    return { check, level: "ok", found: "this system does not tell the limit" };
  }
  const limit = /Max open files\s+(\d+|unlimited)/.exec(text)?.[1] ?? "unlimited";
  const few = limit !== "unlimited" && Number(limit) < WANTED_FILES;
  return {
    check,
    level: few ? "warn" : "ok",
    found: `${limit} a process; a listener worker holds about that many connections, and a box adds workers when they fill up`,
    ...(few ? { remedy: `ulimit -n ${WANTED_FILES} before the start lets one worker hold more.` } : {}),
  };
}

async function checkDisk(dataDir: string): Promise<Finding> {
  const check = "disk";
  const { root } = boxLayout(dataDir);
  for (let folder = root; ; folder = path.dirname(folder)) {
    try {
      const { bavail, bsize } = await statfs(folder);
      await access(folder, constants.W_OK);
      const free = bavail * bsize;
      const found = `${(free / 1024 ** 3).toFixed(1)} GiB free for ${root}`;
      if (free > WANTED_DISK_BYTES) return { check, level: "ok", found };
      return {
        check,
        level: (await hasRoom(folder)) ? "warn" : "bad",
        found,
        remedy: "A full disk makes the event lane refuse messages. Free some space.",
      };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" && folder !== path.dirname(folder)) continue;
      return { check, level: "bad", found: message, remedy: "Choose another folder with --data-dir." };
    }
  }
}

function checkMemory(): Finding {
  const free = freemem() / 1024 ** 2;
  const found = `${free.toFixed(0)} of ${(totalmem() / 1024 ** 2).toFixed(0)} MiB free`;
  return free > 512
    ? { check: "memory", level: "ok", found }
    : { check: "memory", level: "warn", found, remedy: "A box takes about 250 MiB before the first device." };
}

async function checkSystem(options: DoctorOptions): Promise<Finding[]> {
  const layout = boxLayout(options.dataDir);
  const box = await runningBox(layout);
  if (box !== undefined) return [...(await checkBox(box, layout, options.version)), await checkBus(options)];
  if (options.nats !== undefined) return [await checkBus(options)];
  const taken = await takenPorts(boxPorts(options.portOffset), ANY_ADDRESS, 1);
  return [
    { check: "box", level: "ok", found: `none runs on ${layout.root}` },
    ...taken.map(({ port, purpose, code }): Finding => {
      const why = code === "EACCES" ? "not allowed to this user" : "in use by another program";
      return {
        check: `port ${port}`,
        level: "bad",
        found: `${why}, wanted for ${purpose}`,
        remedy: "End that program, or start with --port-offset.",
      };
    }),
  ];
}

async function checkBox(box: BoxFile, layout: BoxLayout, version: string): Promise<Finding[]> {
  const findings: Finding[] = [
    box.version === version
      ? { check: "version", level: "ok", found: version }
      : {
          check: "version",
          level: "warn",
          found: `the box is of version ${box.version}, this program of ${version}`,
          remedy: "Restart the box with npm start.",
        },
  ];
  for (const { name, pid, restarts } of box.processes) {
    const isUp = pid !== undefined && isAlive(pid);
    findings.push({
      check: name,
      level: isUp ? (restarts > 0 ? "warn" : "ok") : "bad",
      found: isUp ? `process ${pid}, ${restarts} restarts` : "down, being started again",
      ...((restarts > 0 || !isUp) && { remedy: `See ${layout.logs}/${name}.log.` }),
    });
    const probe = probeOf(box, name);
    if (probe === undefined || (await answersOk(...probe))) continue;
    const [port, page] = probe;
    findings.push({
      check: `${name} health`,
      level: "bad",
      found: "not ready",
      remedy: `curl localhost:${port}${page} says why.`,
    });
  }
  return findings;
}

/** Where a process of the box says whether it is well. */
function probeOf({ ports }: BoxFile, name: string): [port: number, page: string] | undefined {
  if (name === "nats-server") return [ports.natsMonitor, "/healthz"];
  if (name === "core") return [ports.admin, "/readyz"];
  if (name === "hardware-agent") return [ports.admin + ADMIN_PORT_OF_AGENT, "/readyz"];
  const index = /^listener-(\d+)$/.exec(name)?.[1];
  return index === undefined ? undefined : [ports.admin + ADMIN_PORTS_OF_WORKERS + Number(index), "/readyz"];
}

async function checkBus(options: DoctorOptions): Promise<Finding> {
  const check = "NATS";
  try {
    const rttMs = await withBus(options, (bus) => bus.rttMs());
    const found = `round trip ${rttMs.toFixed(1)} ms`;
    return rttMs < SLOW_RTT_MS
      ? { check, level: "ok", found }
      : {
          check,
          level: "warn",
          found,
          remedy: "Every message pays this twice: look for load on this machine.",
        };
  } catch (error) {
    return { check, level: "bad", found: AppError.is(error) ? error.message : String(error) };
  }
}
