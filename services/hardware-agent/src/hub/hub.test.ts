import { AppError, FakeClock } from "@myelin/kernel";
import { createLogger } from "@myelin/observability";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeviceRecords } from "./device-records.js";
import { RecordWriter, readRecord } from "./sample-record.js";

describe("a record of the outbox", () => {
  it("gives back whose samples it holds, and where they begin", () => {
    const writer = new RecordWriter();
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 60 }),
        fc.uint8Array({ minLength: 1 }),
        (id, block) => {
          const record = writer.write(Buffer.from(id), block);
          const found = readRecord(record);
          expect(found?.device).toBe(id);
          expect(Buffer.from(record.subarray(found?.at)).equals(block)).toBe(true);
        },
      ),
    );
  });

  it("is none when it is cut short", () => {
    expect(readRecord(Buffer.of(1))).toBeUndefined();
    expect(readRecord(new RecordWriter().write(Buffer.from("d1"), new Uint8Array()))).toBeUndefined();
  });
});

describe("the records of devices", () => {
  it("are made once the registry answers, corrected where the profile is another, and left alone else", async () => {
    const clock = new FakeClock();
    const known = new Map<string, string>([
      ["b", "old"],
      ["c", "tank"],
    ]);
    let isAway = true;
    const told: string[] = [];
    const records = new DeviceRecords({
      node: "local",
      clock,
      log: createLogger({ service: "s", instance: "i", write: () => undefined }),
      onTold: (id) => void told.push(id),
      registry: {
        async get(_tenant, id) {
          if (isAway) throw new AppError("request.no_responder", "nobody is there");
          const profile = known.get(id);
          if (profile === undefined) throw new AppError("device.unknown", "there is none");
          return { profile } as never;
        },
        async write({ device }) {
          known.set(device.id, device.profile ?? "");
          return undefined;
        },
        async patch(_tenant, id, patch) {
          known.set(id, (patch as { profile: string }).profile);
          return {} as never;
        },
      },
    });
    records.want(["a", "b", "c"].map((id) => ({ id, profile: "tank", description: "" })));
    await clock.advance(1_000);
    expect(told).toEqual([]);
    isAway = false;
    await clock.advance(20_000);
    expect(told).toEqual(["a", "b"]);
    expect([...known]).toEqual([
      ["b", "tank"],
      ["c", "tank"],
      ["a", "tank"],
    ]);
    await records.stop();
    expect(clock.pendingTimers).toBe(0);
  });
});
