import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { tempDir } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { runningBox } from "./box-file.js";
import { boxLayout } from "./layout.js";

/** Whether a box is found whose file names this process. */
async function isFound(pid: number, root: string): Promise<boolean> {
  const layout = boxLayout(root);
  await mkdir(layout.run, { recursive: true });
  await writeFile(layout.boxFile, JSON.stringify({ pid }));
  return (await runningBox(layout)) !== undefined;
}

/** Whether a box is found whose id now is that of a program with these arguments. */
async function isFoundAs(root: string, args: readonly string[]): Promise<boolean> {
  const child = spawn(process.execPath, ["-e", "process.stdin.resume()", "--", ...args], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  await once(child, "spawn");
  try {
    return await isFound(child.pid as number, root);
  } finally {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
}

describe("a running box", () => {
  it.each([
    ["/opt/myelin/dist/bundle/main.mjs", "up"],
    ["node_modules/.bin/myelin", "up", "--json"],
  ])("is found as %s %s", async (...args) => {
    await using dir = await tempDir("cli");
    expect(await isFoundAs(dir.path, args)).toBe(true);
  });

  it("is found by its folder when the command has another name", async () => {
    await using dir = await tempDir("cli");
    expect(await isFoundAs(dir.path, ["box", "up", `--data-dir=${dir.path}`])).toBe(true);
  });

  it.runIf(process.platform === "linux").each([
    ["main.mjs", "ledger"],
    ["web-server", "up"],
  ])("is not the program %s %s that got its id", async (...args) => {
    await using dir = await tempDir("cli");
    expect(await isFoundAs(dir.path, args)).toBe(false);
  });
});
