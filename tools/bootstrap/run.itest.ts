import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { startProcess, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..", "..");

/** A checkout of the set-up alone, on a machine whose only npm is the given shell script. */
async function checkout(npm: string | undefined): Promise<TempDir> {
  const dir = await tempDir("checkout");
  for (const folder of ["tools/bootstrap", "tools/test", "bin"]) {
    cpSync(join(ROOT, folder), dir.join(folder), { recursive: true });
  }
  for (const name of [
    "package.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "tsconfig.json",
    "tsconfig.base.json",
  ])
    cpSync(join(ROOT, name), dir.join(name));
  mkdirSync(dir.join("path"));
  if (npm !== undefined) writeFileSync(dir.join("path", "npm"), `#!/bin/sh\n${npm}\n`, { mode: 0o755 });
  return dir;
}

const run = (dir: TempDir, ...args: string[]) =>
  startProcess({
    name: "set-up",
    command: process.execPath,
    args: [dir.join("tools/bootstrap/run.mjs"), ...args],
    env: { PATH: `${dir.join("path")}:/usr/bin:/bin`, CI: undefined },
  });

test.each([
  ["a full disk", "echo 'npm error code ENOSPC' >&2; exit 228", "The disk is full: downloading pnpm"],
  ["no network", "echo 'npm error code EAI_AGAIN' >&2; exit 1", "No network: downloading pnpm"],
  ["a strange failure", "echo 'npm error: the moon is full' >&2; exit 1", "npm failed: "],
])("ends with one sentence at %s", async (_what, npm, sentence) => {
  await using dir = await checkout(npm);
  await using setUp = await run(dir, "start");
  expect(await setUp.exited).toEqual({ code: 1, signal: null });
  expect(setUp.log()).toContain(sentence);
  expect(setUp.log()).not.toMatch(/^\s+at /m);
  expect(setUp.stdout).toEqual([]);
  expect(existsSync(dir.join(".tools/lock"))).toBe(false);
});

test("names a tool that is missing", async () => {
  await using dir = await checkout(undefined);
  // Where the machine itself has an npm on these paths there is nothing to miss.
  await using setUp = await startProcess({
    command: process.execPath,
    args: [dir.join("tools/bootstrap/run.mjs"), "start"],
    env: { PATH: dir.join("path") },
  });
  expect(await setUp.exited).toEqual({ code: 1, signal: null });
  expect(setUp.log()).toContain("npm is missing: ");
});

test("refuses a package whose digest is not the pinned one", async () => {
  const lock = JSON.stringify({ packages: { "node_modules/pnpm": { integrity: "sha512-other" } } });
  await using dir = await checkout(
    `while [ "$1" != --prefix ]; do shift; done; mkdir -p "$2/node_modules"; echo '${lock}' > "$2/node_modules/.package-lock.json"`,
  );
  await using setUp = await run(dir, "start");
  expect((await setUp.exited).code).toBe(1);
  expect(setUp.log()).toContain("is not the package it should be");
  expect(existsSync(dir.join(".tools/pnpm"))).toBe(false);
});

test("lets go of everything when it is interrupted", async () => {
  await using dir = await checkout("exec sleep 60");
  await using setUp = await run(dir, "start");
  await waitFor(() => existsSync(dir.join(".tools/log/pnpm.log")), { what: "the download to begin" });
  expect(await setUp.kill("SIGTERM")).toEqual({ code: 143, signal: null });
  expect(existsSync(dir.join(".tools/lock"))).toBe(false);
});

test("counts a failed set-up of the tests as a failure, on the last line", async () => {
  await using dir = await checkout("exit 1");
  await using setUp = await run(dir, "test");
  expect((await setUp.exited).code).toBe(1);
  expect(setUp.stdout.at(-1)).toBe("0 passed, 1 failed, 0 skipped");
});

test("knows its commands and its packages", async () => {
  await using dir = await checkout("exit 1");
  await using unknown = await run(dir, "sing");
  expect((await unknown.exited).code).toBe(1);
  expect(unknown.log()).toBe(
    'Unknown command "sing"; there are start, test, verify, check, demo, bench and myelin.',
  );
  await using nobody = await run(dir, "test", "nobody");
  expect((await nobody.exited).code).toBe(1);
  expect(nobody.log()).toContain('There is no package "nobody"; there are');
});

test("tells the user of bin/myelin what to do first", async () => {
  await using dir = await checkout("exit 1");
  await using myelin = await startProcess({
    command: dir.join("bin/myelin"),
    args: ["tail"],
    cwd: dirname(dir.path),
  });
  expect((await myelin.exited).code).toBe(1);
  expect(myelin.log()).toBe(`Myelin is not set up yet: run npm start in ${dir.path} once.`);
});
