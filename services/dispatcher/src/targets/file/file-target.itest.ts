import { appendFile, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { relative } from "node:path";
import {
  BatchBuilder,
  BatchView,
  createChannel,
  EMPTY_HEAD,
  Kind,
  Lane,
  Protocol,
  Stamp,
} from "@myelin/contract";
import { tempDir } from "@myelin/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toJsonLine } from "./json-line.js";
import { RotatingFile, resolveInside } from "./rotating-file.js";

function lineOf(payload: Buffer): Record<string, unknown> {
  const head = { ...EMPTY_HEAD, deviceId: 'd"1', path: "a/b", kind: Kind.EVENT, protocol: Protocol.MQTT };
  const link = {
    sender: "l",
    incarnation: 1,
    partition: 0,
    lane: Lane.EVENT,
    target: "",
    targetInstance: "",
  };
  const builder = new BatchBuilder(link, new Stamp(Buffer.alloc(10)));
  builder.append(createChannel(1, head, 0), payload, 0, payload.length);
  const view = new BatchView().reset(builder.finish()!);
  view.next();
  const line = toJsonLine(view);
  expect(line.indexOf("\n")).toBe(line.length - 1);
  return JSON.parse(line) as Record<string, unknown>;
}

describe("a line of JSON", () => {
  it("holds the head and a JSON payload as it is", () => {
    expect(lineOf(Buffer.from('{\n "t": 21.50,\r\n "big": 12345678901234567890 }'))).toMatchObject({
      device: 'd"1',
      path: "a/b",
      kind: "event",
      protocol: "mqtt",
      payload: { t: 21.5 },
    });
  });

  it("keeps any payload, JSON or not", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const { payload, payloadBase64 } = lineOf(Buffer.from(bytes));
        if (payloadBase64 !== undefined) {
          expect(Buffer.from(payloadBase64 as string, "base64")).toEqual(Buffer.from(bytes));
        } else expect(payload).toEqual(JSON.parse(Buffer.from(bytes).toString()));
      }),
    );
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(lineOf(Buffer.from(text)).payload).toEqual(JSON.parse(text));
      }),
    );
  });
});

describe("RotatingFile", () => {
  const fileIn = (dataDir: string, path = "sub/x.ndjson", instance = "core", shared: string[] = []) =>
    new RotatingFile({
      dataDir,
      path,
      instance,
      rotation: { maxBytes: 10, keep: 2 },
      onShared: (file) => shared.push(relative(dataDir, file)),
    });

  it("appends over restarts, and cuts off a line that a crash left half written", async () => {
    await using dir = await tempDir("file");
    const first = fileIn(dir.path);
    await first.append("one\n", true);
    await first.close();
    await appendFile(dir.join("sub/x.ndjson"), "tw");
    const second = fileIn(dir.path);
    await second.append("two\n", false);
    await second.close();
    expect(await readFile(dir.join("sub/x.ndjson"), "utf8")).toBe("one\ntwo\n");
  });

  it("rotates before it grows too large and keeps as many old files as it should", async () => {
    await using dir = await tempDir("file");
    const file = fileIn(dir.path, "x");
    for (const word of ["aaaaaa", "bbbbbb", "cccccc", "dddddd"]) await file.append(`${word}\n`, true);
    await file.close();
    expect((await readdir(dir.path)).sort()).toEqual([".x.owner", "x", "x.1", "x.2"]);
    const texts = ["x", "x.1", "x.2"].map((name) => readFile(dir.join(name), "utf8"));
    expect(await Promise.all(texts)).toEqual(["dddddd\n", "cccccc\n", "bbbbbb\n"]);
  });

  it("follows changed settings at the next write, also when fewer old files should stay", async () => {
    await using dir = await tempDir("file");
    const file = fileIn(dir.path, "x");
    for (const word of ["aaaaaa", "bbbbbb", "cccccc"]) await file.append(`${word}\n`, true);
    file.rotation = { maxBytes: 100, keep: 1 };
    for (const word of ["dddddd", "eeeeee"]) await file.append(`${word}\n`, true);
    expect(await readFile(dir.join("x"), "utf8")).toBe("cccccc\ndddddd\neeeeee\n");
    file.rotation = { maxBytes: 10, keep: 1 };
    await file.append("ffffff\n", true);
    expect((await readdir(dir.path)).sort()).toEqual([".x.owner", "x", "x.1"]);
    file.rotation = { maxBytes: 10, keep: 0 };
    await file.append("gggggg\n", true);
    await file.close();
    expect((await readdir(dir.path)).sort()).toEqual([".x.owner", "x"]);
  });

  it("rotates at the first write after a restart, when the file is as large as it may be", async () => {
    await using dir = await tempDir("file");
    await writeFile(dir.join("x"), "aaaaaaaa\n");
    const file = fileIn(dir.path, "x");
    await file.append("bbbb\n", true);
    await file.close();
    expect(await readFile(dir.join("x.1"), "utf8")).toBe("aaaaaaaa\n");
  });

  it("gives the second instance in one directory a file of its own, over restarts and whoever starts first", async () => {
    await using dir = await tempDir("file");
    const shared: string[] = [];
    const core = fileIn(dir.path, "x.ndjson", "core", shared);
    const other = fileIn(dir.path, "x.ndjson", "dispatcher-1", shared);
    await Promise.all([core.append("a\n", true), other.append("b\n", true)]);
    await Promise.all([core.close(), other.close()]);
    expect(shared).toHaveLength(1);
    const restarted = ["dispatcher-1", "core"].map((name) => fileIn(dir.path, "x.ndjson", name));
    for (const file of restarted) {
      await file.append("c\n", true);
      await file.close();
    }
    const names = (await readdir(dir.path)).filter((name) => !name.startsWith("."));
    expect(names.sort()).toEqual([shared[0], "x.ndjson"].sort());
    const texts = await Promise.all(names.map((name) => readFile(dir.join(name), "utf8")));
    expect(texts.sort()).toEqual(["a\nc\n", "b\nc\n"]);
  });

  it.each(["../x", "/etc/x", "a/../../x", ".", "", "a\0b"])("refuses the path %j", (path) => {
    expect(() => resolveInside("/data", path)).toThrow(expect.objectContaining({ code: "route.invalid" }));
  });

  it("does not follow links out of the data directory", async () => {
    await using dir = await tempDir("file");
    await using outside = await tempDir("outside");
    await symlink(outside.path, dir.join("sub"));
    await expect(fileIn(dir.path).append("x\n", true)).rejects.toMatchObject({ code: "route.invalid" });
    await writeFile(outside.join("target"), "mine\n");
    await symlink(outside.join("target"), dir.join("link"));
    await expect(fileIn(dir.path, "link").append("x\n", true)).rejects.toMatchObject({
      code: "store.write_failed",
    });
    expect(await readFile(outside.join("target"), "utf8")).toBe("mine\n");
  });
});
