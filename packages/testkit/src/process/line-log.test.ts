import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { LineLog, readLines } from "./line-log.js";

test("keeps the newest lines and drops the oldest", () => {
  const log = new LineLog();
  for (let number = 0; number < LineLog.MAX_LINES + 3; number++) log.append(`line ${number}`);
  expect(log.lines()).toHaveLength(LineLog.MAX_LINES);
  expect(log.lines()[0]).toBe("line 3");
  expect(log.lines().at(-1)).toBe(`line ${LineLog.MAX_LINES + 2}`);
});

test("splits a stream into lines wherever its chunks are cut", async () => {
  const stream = new PassThrough();
  const logs = [new LineLog(), new LineLog()];
  readLines(stream, logs);
  for (const chunk of ["one\ntw", "o\r", "\nthree"]) stream.write(chunk);
  stream.end();
  await new Promise((resolve) => stream.once("close", resolve));
  for (const log of logs) expect(log.lines()).toEqual(["one", "two", "three"]);
});
