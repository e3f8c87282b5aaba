import { readFile, rm } from "node:fs/promises";
import { tempDir } from "@myelin/testkit";
import { expect, it } from "vitest";
import { LogFile } from "./log-file.js";

it("goes on in a new file when the full one was removed by somebody", async () => {
  await using dir = await tempDir("log");
  const log = new LogFile(dir.join("x.log"), 4);
  log.open();
  log.write(Buffer.from("1234"));
  await rm(dir.join("x.log"));
  log.write(Buffer.from("5678"));
  log.close();
  expect(await readFile(dir.join("x.log"), "utf8")).toBe("5678");
});
