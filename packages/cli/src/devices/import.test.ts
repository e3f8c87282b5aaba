import { Readable } from "node:stream";
import type { DeviceChange, DeviceOutcome } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { importDevices, readDevices } from "./import.js";

async function all(text: string, format: "csv" | "ndjson") {
  const found = [];
  for await (const line of readDevices(Readable.from([Buffer.from(text)]), format, "t")) found.push(line);
  return found;
}

describe("lines of devices", () => {
  it("are read out of NDJSON, bad ones with what is wrong", async () => {
    const lines = [
      '{"id":"a","tags":{"x":"1"},"version":3}',
      "",
      "{",
      '{"id":7}',
      '{"id":"b","colour":"red"}',
      "[]",
    ];
    expect(await all(lines.join("\n"), "ndjson")).toMatchObject([
      { line: 1, change: { device: { tenant: "t", id: "a", tags: { x: "1" }, groups: [] } } },
      { line: 3, problem: "the line is no JSON" },
      { line: 4, problem: "id must be text" },
      { line: 5, problem: expect.stringContaining("colour is no field of a device") },
      { line: 6, problem: "id must be text" },
    ]);
  });

  it("are read out of CSV with a heading, quotes and a byte order mark", async () => {
    const text =
      '\ufeffid,profile,groups,tags.site,tags.floor\na,boiler,"hall  old","north, 1",\n"b ""x""",,,,2\n';
    expect(await all(text, "csv")).toMatchObject([
      {
        change: {
          device: { id: "a", profile: "boiler", groups: ["hall", "old"], tags: { site: "north, 1" } },
        },
      },
      { change: { device: { id: 'b "x"', profile: "", groups: [], tags: { floor: "2" } } } },
    ]);
  });

  it("of CSV that cannot be told apart are refused as a whole", async () => {
    await expect(all('id\n"a', "csv")).rejects.toMatchObject({ code: "config.unreadable" });
  });

  it("are written many at a time, and what is refused is told with its line", async () => {
    const sizes: number[] = [];
    const client = {
      writeAll: async (changes: readonly DeviceChange[]): Promise<readonly DeviceOutcome[]> => {
        sizes.push(changes.length);
        return changes.map(({ device }) =>
          device.id === "d7" ? { error: new AppError("device.invalid", "no") } : {},
        );
      },
    };
    const text = Array.from({ length: 4_500 }, (_, i) => `{"id":"d${i}"}`).join("\n");
    const refused: string[] = [];
    const onRefused = (line: number, message: string) => refused.push(`${line}: ${message}`);
    const lines = readDevices(Readable.from([`${text}\n{`]), "ndjson", "");
    expect(await importDevices(client, lines, { onRefused, onProgress: () => undefined })).toBe(4_499);
    expect(sizes).toEqual([2_000, 2_000, 500]);
    expect(refused.sort()).toEqual(["4501: the line is no JSON", "8: no"]);
  });
});
