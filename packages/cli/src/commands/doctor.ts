/** `myelin doctor`: what is there, what is missing, what will run out; each finding with its remedy. */
import { readFile, statfs } from "node:fs/promises";
import { connect } from "node:net";
import { availableParallelism, freemem, totalmem } from "node:os";
import { AppError } from "@myelin/kernel";
import { runningBox } from "../box/box-file.js";
import type { ReachOptions } from "../box/connection.js";
import { type BoxPort, boxLayout, boxPorts, PORT_PURPOSE } from "../box/layout.js";
import { usableNatsServer } from "../box/nats-server.js";
import { answersOk } from "../box/probe.js";
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
  for (let folder = root; ; folder = folder.slice(0, folder.lastIndexOf("/")) || "/") {
    try {
      const { bavail, bsize } = await statfs(folder);
      const free = bavail * bsize;
      const found = `${(free / 1024 ** 3).toFixed(1)} GiB free for ${root}`;
      return free > WANTED_DISK_BYTES
        ? { check, level: "ok", found }
        : {
            check,
            level: "warn",
            found,
            remedy: "A full disk makes the event lane refuse messages. Free some space.",
          };
    } catch (error) {
      if (folder === "/" || (error as NodeJS.ErrnoException).code !== "ENOENT") {
        return { check, level: "bad", found: `${folder} cannot be read: ${(error as Error).message}` };
      }
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
  if (box === undefined && options.nats === undefined) {
    const findings: Finding[] = [{ check: "box", level: "ok", found: `none runs on ${layout.root}` }];
    for (const [name, port] of Object.entries(boxPorts(options.portOffset)) as [BoxPort, number][]) {
      if (name === "mcpUdp" || !(await answers(port))) continue;
      findings.push({
        check: `port ${port}`,
        level: "bad",
        found: `in use by another program, wanted for ${PORT_PURPOSE[name]}`,
        remedy: "End that program, or start with --port-offset.",
      });
    }
    return findings;
  }
  const findings: Finding[] = [];
  for (const child of box?.processes ?? []) {
    const alive = child.pid !== undefined;
    findings.push({
      check: child.name,
      level: alive ? (child.restarts > 0 ? "warn" : "ok") : "bad",
      found: alive ? `process ${child.pid}, ${child.restarts} restarts` : "down, being started again",
      ...(child.restarts > 0 ? { remedy: `See ${layout.logs}/${child.name}.log.` } : {}),
    });
  }
  if (box !== undefined) {
    const ready = await answersOk(box.ports.admin, "/readyz");
    findings.push(
      ready
        ? { check: "readiness", level: "ok", found: "core is ready" }
        : {
            check: "readiness",
            level: "bad",
            found: "core is not ready",
            remedy: `curl localhost:${box.ports.admin}/readyz`,
          },
    );
  }
  findings.push(await checkBus(options));
  return findings;
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

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", timeout: 500 });
    const done = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", done(true));
    socket.once("error", done(false));
    socket.once("timeout", done(false));
  });
}
