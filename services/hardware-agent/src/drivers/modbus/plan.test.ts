import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReadingBuffer } from "../../core/readings.js";
import type { PlannedPoint } from "../adapter.js";
import { type ModbusAddress, parseModbusAddress } from "./address.js";
import { decodeRequest } from "./pdu.js";
import { planModbus } from "./plan.js";
import { decodeRuns } from "./values.js";

const spec = { type: "number" } as PlannedPoint<ModbusAddress>["spec"];
const limits = { maxRegisters: 125, maxBits: 2000, maxGap: 0 };

function points(texts: readonly string[], intervalMs = 1000): PlannedPoint<ModbusAddress>[] {
  return texts.map((text, number) => ({
    number,
    address: parseModbusAddress(text, { type: text.includes("string") ? "string" : "number" }),
    spec,
    intervalMs,
  }));
}

const asked = (texts: readonly string[], more: Partial<typeof limits> = {}): string[] =>
  planModbus(points(texts), { ...limits, ...more }, 3).map(({ pdu, points: which }) => {
    const request = decodeRequest(pdu) as { fn: number; address: number; quantity: number };
    return `${request.fn}@${request.address}+${request.quantity} [${which.join(" ")}]`;
  });

describe("the plan of a unit's registers", () => {
  test("puts neighbours into one request, whatever their order and type", () => {
    expect(asked(["holding:4/float32", "holding:0", "holding:1/int32", "holding:3.5"])).toEqual([
      "3@0+6 [1 2 3 0]",
    ]);
  });

  test("reads several points of one register once", () => {
    expect(asked(["holding:0.1", "holding:0.2", "holding:0"])).toEqual(["3@0+1 [0 1 2]"]);
  });

  test("keeps tables apart", () => {
    expect(asked(["holding:0", "input:0", "coil:0", "discrete:0"]).sort()).toEqual([
      "1@0+1 [2]",
      "2@0+1 [3]",
      "3@0+1 [0]",
      "4@0+1 [1]",
    ]);
  });

  test("reads gaps that are allowed and no others", () => {
    expect(asked(["holding:0", "holding:5"])).toHaveLength(2);
    expect(asked(["holding:0", "holding:5"], { maxGap: 4 })).toEqual(["3@0+6 [0 1]"]);
    expect(asked(["holding:0", "holding:5"], { maxGap: 3 })).toHaveLength(2);
  });

  test("asks for no more at once than a unit takes, and never cuts a value", () => {
    expect(
      asked(["holding:0/float32", "holding:2/float32", "holding:4/float32"], { maxRegisters: 5 }),
    ).toEqual(["3@0+4 [0 1]", "3@4+2 [2]"]);
  });

  test("counts what goes over the line", () => {
    const [read] = planModbus(points(["holding:0", "holding:1"]), limits, 3);
    expect([read?.requestBytes, read?.responseBytes]).toEqual([8, 9]);
    const [bits] = planModbus(points(["coil:0", "coil:8"]), { ...limits, maxGap: 8 }, 7);
    expect([bits?.requestBytes, bits?.responseBytes]).toEqual([12, 11]);
  });

  test("keeps intervals apart", () => {
    const mixed = [...points(["holding:0"], 100), ...points(["holding:1"], 1000)];
    expect(planModbus(mixed, limits, 3).map(({ intervalMs }) => intervalMs)).toEqual([100, 1000]);
  });

  test("reads every point exactly once, from its own place", () => {
    const type = fc.constantFrom("uint16", "int32", "float32", "uint64");
    const place = fc.tuple(fc.nat(400), type).map(([at, word]) => `holding:${at}/${word}`);
    fc.assert(
      fc.property(
        fc.array(place, { minLength: 1, maxLength: 60 }),
        fc.record({
          maxRegisters: fc.integer({ min: 4, max: 125 }),
          maxBits: fc.constant(2000),
          maxGap: fc.nat(20),
        }),
        (texts, anyLimits) => {
          const all = points(texts);
          const reads = planModbus(all, anyLimits, 3);
          expect(reads.flatMap((read) => [...read.points]).sort((a, b) => a - b)).toEqual(
            all.map((_, i) => i),
          );
          // Each register holds its own number, so every value tells where it was taken from.
          const register = (at: number) => [at >> 8, at & 0xff];
          const out = new ReadingBuffer(all.length);
          for (const read of reads) {
            const { address, quantity } = decodeRequest(read.pdu) as { address: number; quantity: number };
            expect(quantity).toBeLessThanOrEqual(anyLimits.maxRegisters);
            const data = Uint8Array.from(
              Array.from({ length: quantity }, (_, i) => register(address + i)).flat(),
            );
            decodeRuns(read.runs, read.points, data, 0, out, 1);
          }
          for (const { number, address } of all) {
            const at = address.address;
            const raw = Array.from({ length: address.size }, (_, i) => register(at + i)).flat();
            const view = new DataView(Uint8Array.from([...raw, 0, 0, 0, 0, 0, 0, 0, 0]).buffer);
            const expected =
              address.type === "uint16"
                ? view.getUint16(0)
                : address.type === "int32"
                  ? view.getInt32(0)
                  : address.type === "float32"
                    ? view.getFloat32(0)
                    : view.getBigUint64(0);
            const got = out.others[number] ?? out.values[number];
            expect(BigInt(Number(got) === got && !Number.isInteger(got) ? -1 : (got as number))).toBe(
              typeof expected === "bigint" ? expected : BigInt(Number.isInteger(expected) ? expected : -1),
            );
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
