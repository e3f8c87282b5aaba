import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { type TempDir, tempDir } from "@myelin/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeFolders, makeNatsToken } from "./folders.js";
import { boxLayout } from "./layout.js";

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;

let dir: TempDir;
beforeEach(async () => {
  dir = await tempDir("folders");
});
afterEach(async () => {
  await dir[Symbol.asyncDispose]();
});

/** A file system of its own in the test's folder, gone with the scope. */
async function mounted(options: string) {
  const folder = dir.join("mnt");
  await mkdir(folder);
  await run("mount", ["-t", "tmpfs", "-o", options, "none", folder]);
  return { folder, [Symbol.asyncDispose]: () => run("umount", [folder]).then(() => undefined) };
}

const refusal = (root: string) =>
  makeFolders(boxLayout(root)).then(
    () => "none",
    ({ code, message }) => `${code}: ${message}`,
  );

describe("the folders of a box", () => {
  it("are made, those above them too, and a second time is fine", async () => {
    const layout = boxLayout(dir.join("a/b"));
    await makeFolders(layout);
    await makeFolders(layout);
    await writeFile(`${layout.logs}/x`, "");
  });

  it("cannot be where a file is", async () => {
    await writeFile(dir.join("file"), "");
    expect(await refusal(dir.join("file"))).toBe(
      `setup.read_only: The folder ${dir.join("file")} is needed, but a file of that name is in the way. Choose another one with --data-dir.`,
    );
    expect(await refusal(dir.join("file/below"))).toContain("but a part of its path is a file.");
  });

  it.runIf(process.platform === "linux")("cannot be below a folder that takes none", async () => {
    expect(await refusal(`/proc/${process.pid}/x/y`)).toMatch(
      /^setup\.read_only: The folder \/proc\/\d+\/x\/y is needed, but it cannot be made: ENOENT.* Choose another/,
    );
  });

  it.runIf(isRoot)("cannot be on a disk without room, or one that is read-only", async () => {
    {
      await using full = await mounted("size=4m");
      expect(await refusal(full.folder)).toContain(
        "but its disk is full. Free some space, or choose another",
      );
    }
    await run("rmdir", [dir.join("mnt")]);
    await using readOnly = await mounted("ro");
    expect(await refusal(`${readOnly.folder}/x`)).toContain("but its file system is read-only.");
  });
});

describe("the token for NATS", () => {
  it("is made once, and again where a full disk left it empty", async () => {
    const layout = boxLayout(dir.path);
    await makeFolders(layout);
    await makeNatsToken(layout);
    const token = await readFile(layout.natsToken, "utf8");
    expect(token).toMatch(/^[0-9a-f]{64}\n$/);
    await makeNatsToken(layout);
    expect(await readFile(layout.natsToken, "utf8")).toBe(token);
    await writeFile(layout.natsToken, "");
    await makeNatsToken(layout);
    expect(await readFile(layout.natsToken, "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
  });
});
