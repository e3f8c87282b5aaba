import { Readable } from "node:stream";
import { type DeviceChange, type DeviceOutcome, type DeviceRecord, deviceFields } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { importDevices, type RefusedLine, refusedJson } from "./import.js";
import { type DeviceFormat, type DeviceLine, readDevices } from "./read.js";
import { deviceText } from "./write.js";

async function all(text: string | readonly Uint8Array[], format: DeviceFormat): Promise<DeviceLine[]> {
  const found: DeviceLine[] = [];
  const source = Readable.from(typeof text === "string" ? [Buffer.from(text)] : text);
  for await (const line of readDevices(source, format, "t")) found.push(line);
  return found;
}

const refusal = (line: number, message: string, path?: string) => ({
  line,
  error: { code: "device.invalid", message: expect.stringContaining(message), details: path && { path } },
});

describe("lines of devices", () => {
  it("are read out of NDJSON, bad ones with what is wrong", async () => {
    const lines = [
      '{"id":"a","tags":{"x":"1"},"version":3}',
      "",
      "{",
      '{"id":7}',
      '{"id":"b","colour":"red"}',
      "[]",
      '{"id":"c","groups":["g",1]}',
      `{"id":"d","description":"${"x".repeat(300_000)}"}`,
    ];
    expect(await all(lines.join("\n"), "ndjson")).toMatchObject([
      { line: 1, change: { device: { tenant: "t", id: "a", tags: { x: "1" }, groups: [] } } },
      refusal(3, "the line is no JSON"),
      refusal(4, "id must be text", "id"),
      refusal(5, "colour is no field of a device", "colour"),
      refusal(6, "id must be text", "id"),
      refusal(7, "groups must be a list of texts", "groups[1]"),
      refusal(8, "the line is too long"),
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

  it("of CSV are refused for tags and groups that are no JSON", async () => {
    expect(await all('id,tags,groups\na,x=1,\nb,,"[1"\n', "csv")).toMatchObject([
      refusal(2, "tags must be JSON", "tags"),
      refusal(3, "groups must be JSON", "groups"),
    ]);
  });

  it("of CSV are refused one by one when they have too few or too many fields", async () => {
    expect(await all("id,profile\na\nb,p,x\nc,p\n", "csv")).toMatchObject([
      refusal(2, "has 1 fields, and the heading 2"),
      refusal(3, "has 3 fields, and the heading 2"),
      { line: 4, change: { device: { id: "c", profile: "p" } } },
    ]);
  });

  it("of CSV that cannot be told apart are refused as a whole", async () => {
    await expect(all('id\n"a', "csv")).rejects.toMatchObject({ code: "device.unreadable" });
  });

  it.each(["csv", "ndjson"] as const)(
    "of %s are refused as a whole when their source fails",
    async (format) => {
      async function* broken(): AsyncGenerator<Uint8Array> {
        yield Buffer.from("id\na\n");
        throw new Error("gone");
      }
      const reading = async (): Promise<void> => {
        for await (const line of readDevices(broken(), format, "")) expect(line).toBeDefined();
      };
      await expect(reading()).rejects.toMatchObject({ code: "device.unreadable" });
    },
  );

  it("are the same after writing and reading, whatever is in them and wherever they are cut", async () => {
    const text = fc.string({ unit: "grapheme", maxLength: 12 });
    const device = fc.record({
      id: text,
      profile: text,
      enabled: fc.boolean(),
      description: fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r", " ", "[", "😀") }),
      tags: fc.dictionary(fc.stringMatching(/^[a-z][a-z.]{0,4}$/), text, { noNullPrototype: true }),
      groups: fc.array(fc.string({ unit: fc.constantFrom("a", "[", " ", '"', "ü"), minLength: 1 })),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(device, { minLength: 1, maxLength: 5 }),
        fc.constantFrom("csv", "ndjson"),
        fc.integer({ min: 1, max: 7 }),
        async (devices, format, cut) => {
          const records: DeviceRecord[] = devices.map((fields) => ({
            tenant: "",
            ...fields,
            createdAtMs: 1,
            updatedAtMs: 2,
            version: 3,
          }));
          async function* page(): AsyncGenerator<readonly DeviceRecord[]> {
            yield records;
          }
          let written = "";
          for await (const chunk of deviceText(page(), format)) written += chunk;
          const bytes = Buffer.from(written);
          const chunks = Array.from({ length: Math.ceil(bytes.length / cut) }, (_, i) =>
            bytes.subarray(i * cut, (i + 1) * cut),
          );
          const found = await all(chunks, format);
          expect(found.map((line) => "change" in line && line.change.device)).toEqual(
            devices.map((fields) => deviceFields("t", fields.id, fields)),
          );
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("an import", () => {
  it("writes many at a time, and tells what is refused with its line and field", async () => {
    const sizes: number[] = [];
    const client = {
      writeAll: async (changes: readonly DeviceChange[]): Promise<readonly DeviceOutcome[]> => {
        sizes.push(changes.length);
        return changes.map(({ device }) =>
          device.id === "d7"
            ? { error: new AppError("device.invalid", "no", { details: { path: "tags" } }) }
            : { created: device.id !== "d8" },
        );
      },
    };
    const text = Array.from({ length: 9_000 }, (_, i) => `{"id":"d${i}"}`).join("\n");
    const refused: RefusedLine[] = [];
    const lines = readDevices(Readable.from([Buffer.from(`${text}\n{`)]), "ndjson", "");
    const report = await importDevices(client, lines, { onRefused: (line) => refused.push(line) });
    expect(report).toEqual({ imported: 8_999, created: 8_998, refused: 2 });
    expect(sizes).toEqual([6_400, 2_600]);
    expect(refused.map(refusedJson)).toEqual([
      { line: 8, path: "tags", code: "device.invalid", detail: "no" },
      { line: 9_001, code: "device.invalid", detail: "the line is no JSON" },
    ]);
  });

  it("has written what came before its source broke off", async () => {
    const ids: string[] = [];
    const client = {
      writeAll: async (changes: readonly DeviceChange[]): Promise<readonly DeviceOutcome[]> => {
        ids.push(...changes.map(({ device }) => device.id));
        return changes.map(() => ({}));
      },
    };
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"id":"a"}\n{"id":"b"}\n{"id":');
      throw new Error("gone");
    }
    const lines = readDevices(broken(), "ndjson", "");
    await expect(importDevices(client, lines, { onRefused: () => undefined })).rejects.toMatchObject({
      code: "device.unreadable",
    });
    expect(ids).toEqual(["a", "b"]);
  });
});
