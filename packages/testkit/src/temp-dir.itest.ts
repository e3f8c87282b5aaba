import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { tempDir } from "./temp-dir.js";

test("removes the folder with all it holds", async () => {
  let path: string;
  {
    await using dir = await tempDir("label");
    path = dir.path;
    await writeFile(dir.join("a file"), "x");
    expect(path).toContain("myelin-label-");
    expect(existsSync(dir.join("a file"))).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});
