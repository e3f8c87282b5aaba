import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import { expect, test } from "vitest";
import { tempDir } from "../temp-dir.js";
import { waitFor } from "../wait-for.js";
import { type ManagedProcess, startProcess } from "./managed-process.js";

const shell = (script: string) => ({ command: "/bin/sh", args: ["-c", script], name: "script" });

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A zombie is dead; only its parent has not looked yet.
  return process.platform !== "linux" || !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

const codeOf = async (work: Promise<unknown>): Promise<string | undefined> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return AppError.is(error) ? error.code : String(error);
};

test("is ready when the awaited line was written, and keeps what was written", async () => {
  await using script = await startProcess({
    ...shell("echo first; echo oops >&2; echo listening on 4711; exec sleep 60"),
    ready: { line: /listening on \d+/ },
  });
  expect(script.running).toBe(true);
  const match = await script.waitForLine(/listening on (\d+)/);
  expect(match[1]).toBe("4711");
  expect(script.stdout).toEqual(["first", "listening on 4711"]);
  await waitFor(() => script.log().includes("oops"), { what: "the line of stderr" });
});

test("refuses a command that does not exist", async () => {
  expect(await codeOf(startProcess({ command: "/no/such/command" }))).toBe("setup.missing_tool");
});

test("shows the log of a process that ends before it is ready", async () => {
  const start = startProcess({ ...shell("echo cannot bind; exit 3"), ready: { line: /never/ } });
  await expect(start).rejects.toMatchObject({
    code: "lifecycle.start_failed",
    message: "script ended with code 3 before it was ready; its log ends:\n  cannot bind",
  });
});

test("kills a process that is not ready in time", async () => {
  const start = startProcess({
    ...shell("echo pid $$; exec sleep 60"),
    ready: () => false,
    readyMs: 300,
  });
  const error = (await start.catch((reason: unknown) => reason)) as AppError;
  expect(error.code).toBe("lifecycle.start_timeout");
  const pid = Number(/pid (\d+)/.exec(error.message)?.[1]);
  expect(isAlive(pid)).toBe(false);
});

test("tells the exit code and the signal apart", async () => {
  await using polite = await startProcess({
    ...shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"),
    ready: { line: /up/ },
  });
  expect(await polite.stop()).toEqual({ code: 7, signal: null });
  await polite.start();
  expect(await polite.kill()).toEqual({ code: null, signal: "SIGKILL" });
});

test("kills what does not stop when asked", async () => {
  await using stubborn = await startProcess({
    ...shell("trap '' TERM; echo up; while :; do sleep 0.01; done"),
    ready: { line: /up/ },
    stopMs: 200,
  });
  expect(await stubborn.stop()).toEqual({ code: null, signal: "SIGKILL" });
});

test("waits for the line of the new run after a restart", async () => {
  await using dir = await tempDir();
  await using script = await startProcess({
    ...shell(`echo run >> runs; echo ready $(wc -l < runs); exec sleep 60`),
    cwd: dir.path,
    ready: { line: /ready/ },
  });
  const first = script.pid;
  await script.restart();
  expect(script.pid).not.toBe(first);
  expect(isAlive(first)).toBe(false);
  expect(script.stdout).toEqual(["ready 2"]);
  expect(script.log().split("\n")).toEqual(["ready 1", "ready 2"]);
});

test("freezes a process and lets it go on", async () => {
  await using script = await startProcess({
    ...shell("echo up; while :; do echo tick; sleep 0.01; done"),
    ready: { line: /tick/ },
  });
  await script.pause();
  await waitFor(() => script.stdout.length > 0, { what: "what was written before" });
  const frozenAt = script.stdout.length;
  script.resume();
  await waitFor(() => script.stdout.length > frozenAt, { what: "the next tick" });
});

test("passes variables on top of its own environment", async () => {
  await using script = await startProcess({
    ...shell('test -n "$PATH" && echo "$MYELIN_TESTKIT_PROBE"'),
    env: { MYELIN_TESTKIT_PROBE: "value" },
  });
  await script.exited;
  expect(script.stdout).toEqual(["value"]);
});

test("sweeps what a killed process left behind", async () => {
  const script = await startProcess({
    ...shell("sleep 60 & echo child $!; wait"),
    ready: { line: /child/ },
  });
  const child = Number((await script.waitForLine(/child (\d+)/))[1]);
  await script.kill();
  expect(isAlive(child)).toBe(true);
  await script[Symbol.asyncDispose]();
  await waitFor(() => !isAlive(child), { what: "the child to be swept" });
});

test("kills the processes of a test process that is itself killed", async () => {
  await using dir = await tempDir();
  await using parent = await startTestProcess(dir.join("killed.mjs"), "setInterval(() => undefined, 1000);");
  const orphan = Number((await parent.waitForLine(/pid (\d+)/))[1]);
  expect(isAlive(orphan)).toBe(true);
  await parent.kill("SIGKILL");
  await waitFor(() => !isAlive(orphan), { what: "the orphan to be killed" });
});

test("does not keep a test process alive that has cleaned up", async () => {
  await using dir = await tempDir();
  await using parent = await startTestProcess(dir.join("ending.mjs"), "await script[Symbol.asyncDispose]();");
  expect(await parent.exited).toEqual({ code: 0, signal: null });
});

/** A process of its own that starts a script by the testkit's sources, prints its pid, and goes on with `rest`. */
async function startTestProcess(file: string, rest: string): Promise<ManagedProcess> {
  const source = new URL("./managed-process.ts", import.meta.url).href;
  await writeFile(
    file,
    `import { registerHooks } from "node:module";
     registerHooks({
       resolve(specifier, context, next) {
         try {
           return next(specifier, context);
         } catch {
           return next(specifier.replace(/\\.js$/, ".ts"), context);
         }
       },
     });
     const { startProcess } = await import(${JSON.stringify(source)});
     const script = await startProcess({ command: "/bin/sh", args: ["-c", "echo up; exec sleep 60"], ready: { line: /up/ } });
     console.log("pid " + script.pid);
     ${rest}`,
  );
  return startProcess({ command: process.execPath, args: ["--conditions=source", file] });
}
