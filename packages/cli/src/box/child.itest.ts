import { readFile, rm, writeFile } from "node:fs/promises";
import { freePort, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Child, type ChildSpec, type ChildTimes } from "./child.js";
import { answersAnything, answersOk } from "./probe.js";

/** Serves HTTP on its first argument, unless the file of its second is there; `/hang` stops its event loop, `/exit` ends it. */
const SERVER = `
  if (require("node:fs").existsSync(process.argv[2])) process.exit(1);
  require("node:http").createServer((request, answer) => {
    if (request.url === "/hang") for (;;);
    if (request.url === "/exit") process.exit(3);
    answer.end("ok");
  }).listen(Number(process.argv[1]), "127.0.0.1");
  console.log("started");
`;

let dir: TempDir;
let child: Child | undefined;
let told: string[];
beforeEach(async () => {
  dir = await tempDir("child");
  told = [];
});
afterEach(async () => {
  await child?.stop();
  child = undefined;
  await dir[Symbol.asyncDispose]();
});

function make(spec: Partial<ChildSpec> & Pick<ChildSpec, "args">, times: Partial<ChildTimes> = {}): Child {
  child = new Child(
    {
      name: "x",
      command: process.execPath,
      logFile: dir.join("x.log"),
      isReady: async () => true,
      complaint: async () => undefined,
      readyTimeoutMs: 5_000,
      stopTimeoutMs: 5_000,
      ipc: false,
      times,
      ...spec,
    },
    {
      onDown: (_child, how) => told.push(`down: ${how}`),
      onFailing: (_child, how) => told.push(`failing: ${how}`),
      onBack: () => told.push("back"),
      onReplaced: () => undefined,
      onMessage: (_child, message) => told.push(`message: ${JSON.stringify(message)}`),
    },
  );
  return child;
}

async function server(times: Partial<ChildTimes> = {}) {
  const port = await freePort();
  const made = make(
    {
      args: ["-e", SERVER, String(port), dir.join("broken")],
      isReady: () => answersOk(port, "/"),
      complaint: async () => ((await answersAnything(port, "/", 100)) ? undefined : "it hangs"),
    },
    times,
  );
  await made.start();
  return { made, port, ask: (path: string) => answersAnything(port, path, 50) };
}

const isBack = (): Promise<unknown> => waitFor(() => told.length >= 2, { what: "the return" });

describe("a child of the box", () => {
  it("is started again when it is killed, and both are told once", async () => {
    const { made } = await server();
    const first = made.pid as number;
    process.kill(first, "SIGKILL");
    await isBack();
    expect(told).toEqual(["down: signal SIGKILL", "back"]);
    expect(made.pid).not.toBe(first);
    expect(made.restarts).toBe(1);
    expect(await readFile(dir.join("x.log"), "utf8")).toBe("started\nstarted\n");
  });

  it("is killed and started again when it is complained about", async () => {
    const { ask } = await server({ aliveEveryMs: 50, aliveMisses: 3 });
    await ask("/hang");
    await isBack();
    expect(told).toEqual(["down: it hangs, for 0 s", "back"]);
  });

  it("is tried again and again, told of once, when it cannot start any more", async () => {
    const { made } = await server({ firstRestartMs: 5, maxRestartMs: 10 });
    await writeFile(dir.join("broken"), "");
    process.kill(made.pid as number, "SIGKILL");
    await waitFor(() => made.restarts > 3, { what: "several tries", deadlineMs: 20_000 });
    expect(told.map((line) => line.slice(0, 8))).toEqual(["down: si", "failing:"]);
    expect(told[1]).toContain("exit code 1");
    await rm(dir.join("broken"));
    await waitFor(() => made.ready, { what: "the restart" });
  });

  it("is told of as back after a row of crashes only when it stays", async () => {
    const { made, ask } = await server({ firstRestartMs: 5, livedLongMs: 400 });
    await ask("/exit");
    await isBack();
    await ask("/exit");
    await waitFor(() => told.length === 3 && made.ready, { what: "the second restart" });
    expect(told).toEqual(["down: exit code 3", "back", "failing: exit code 3"]);
    await waitFor(() => told.length === 4, { what: "a long life" });
    expect(told[3]).toBe("back");
  });

  it("names the log when it does not start at all", async () => {
    const args = ["-e", "console.error('out of luck'); process.exit(7)"];
    await expect(make({ args, isReady: async () => false }).start()).rejects.toMatchObject({
      code: "setup.process_failed",
      message: `x did not start: exit code 7; see ${dir.join("x.log")}`,
    });
    expect(await readFile(dir.join("x.log"), "utf8")).toContain("out of luck");
  });

  it("is killed when it ignores the request to end", async () => {
    const args = ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1e6); console.log('up')"];
    const isReady = async () => (await readFile(dir.join("x.log"), "utf8")).includes("up");
    const made = make({ args, isReady, stopTimeoutMs: 50 });
    await made.start();
    const pid = made.pid as number;
    await made.stop();
    expect(() => process.kill(pid, 0)).toThrow("ESRCH");
    expect(told).toEqual([]);
  });

  it("does not start after it was stopped", async () => {
    const made = make({ args: ["-e", "0"] });
    await made.stop();
    await expect(made.start()).rejects.toMatchObject({ code: "operation.aborted" });
  });

  it("passes messages on", async () => {
    await make({ args: ["-e", "process.send({ a: 1 }); setInterval(() => {}, 1e6)"], ipc: true }).start();
    await waitFor(() => told.length > 0, { what: "the message" });
    expect(told).toEqual(['message: {"a":1}']);
  });
});

it("starts a new log file when one is full, and keeps the one before", async () => {
  await writeFile(dir.join("x.log"), "x".repeat(16 * 1024 * 1024));
  const args = ["-e", "console.log('after'); setInterval(() => {}, 1e6)"];
  const isReady = async () => (await readFile(dir.join("x.log"), "utf8")).includes("after");
  await make({ args, isReady }).start();
  expect(await readFile(dir.join("x.log"), "utf8")).toBe("after\n");
  expect((await readFile(dir.join("x.log.1"))).length).toBe(16 * 1024 * 1024);
});
