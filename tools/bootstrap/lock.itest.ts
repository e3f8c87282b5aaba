import { spawn } from "node:child_process";
import { existsSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { tempDir } from "@myelin/testkit";
import { expect, test } from "vitest";
import { withLock } from "./lock.mjs";

// One contender: notes when it enters and leaves, and dawdles in between.
const CONTENDER = `
  import { appendFileSync } from "node:fs";
  const { withLock } = await import(process.argv[1]);
  await withLock(process.argv[2], async () => {
    appendFileSync(process.argv[3], "in\\n");
    for (let turn = 0; turn < 1000; turn++) await new Promise(setImmediate);
    appendFileSync(process.argv[3], "out\\n");
  });`;

function contend(lock: string, notes: string): Promise<number | null> {
  const module = new URL("./lock.mjs", import.meta.url).href;
  const child = spawn(process.execPath, ["--input-type=module", "-e", CONTENDER, module, lock, notes], {
    stdio: "inherit",
  });
  return new Promise((resolve) => child.once("close", resolve));
}

test("lets one in at a time, also past a lock whose holder is dead", async () => {
  await using dir = await tempDir("lock");
  const [lock, notes] = [dir.join("lock"), dir.join("notes")];
  const dead = spawn(process.execPath, ["-e", "0"]);
  await new Promise((resolve) => dead.once("exit", resolve));
  writeFileSync(lock, JSON.stringify({ pid: dead.pid, host: hostname() }));
  const codes = await Promise.all(Array.from({ length: 6 }, () => contend(lock, notes)));
  expect(codes).toEqual([0, 0, 0, 0, 0, 0]);
  expect(readFileSync(notes, "utf8")).toBe("in\nout\n".repeat(6));
  expect(existsSync(lock)).toBe(false);
});

test("waits for a holder that is alive, and says so once", async () => {
  await using dir = await tempDir("lock");
  const lock = dir.join("lock");
  const order: string[] = [];
  let release = (): void => undefined;
  const first = withLock(lock, async () => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    order.push("first");
  });
  const second = withLock(
    lock,
    async () => {
      order.push("second");
    },
    (pid) => {
      order.push(`waits for ${pid === process.pid ? "us" : pid}`);
      release();
    },
  );
  await Promise.all([first, second]);
  expect(order).toEqual(["waits for us", "first", "second"]);
});

test("takes over a lock that shows no sign of life, whoever held it", async () => {
  await using dir = await tempDir("lock");
  const lock = dir.join("lock");
  for (const content of ["", JSON.stringify({ pid: 1, host: "another-machine" })]) {
    writeFileSync(lock, content);
    const longAgo = new Date(Date.now() - 3_600_000);
    utimesSync(lock, longAgo, longAgo);
    expect(await withLock(lock, async () => "mine")).toBe("mine");
  }
});

test("lets go when the work fails", async () => {
  await using dir = await tempDir("lock");
  const lock = dir.join("lock");
  await expect(withLock(lock, () => Promise.reject(new RangeError("no")))).rejects.toThrow("no");
  expect(existsSync(lock)).toBe(false);
});
