import { QUALITY, reasonOf } from "@myelin/profile";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ReadingBuffer } from "../../core/readings.js";
import { packRegisters } from "./pdu.js";
import {
  BYTE_ORDERS,
  type ByteOrder,
  decodeRuns,
  encodeRegisters,
  type ModbusType,
  REGISTERS_OF,
  type ValueRun,
} from "./values.js";

const run = (type: ModbusType, order: ByteOrder, more: Partial<ValueRun> = {}): ValueRun => ({
  type,
  order,
  offset: 0,
  count: 1,
  first: 0,
  low: 0,
  mask: -1,
  bytes: 0,
  ...more,
});

function decoded(one: ValueRun, data: Uint8Array, size = one.count): ReadingBuffer {
  const out = new ReadingBuffer(size);
  decodeRuns(
    [one],
    Uint32Array.from({ length: one.count }, (_, i) => i),
    data,
    0,
    out,
    1000,
  );
  return out;
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

describe("values in registers", () => {
  test.each<[ModbusType, ByteOrder, string, number]>([
    ["float32", "abcd", "42f6 e979", 123.45600128173828],
    ["float32", "cdab", "e979 42f6", 123.45600128173828],
    ["float32", "badc", "f642 79e9", 123.45600128173828],
    ["float32", "dcba", "79e9 f642", 123.45600128173828],
    ["int32", "abcd", "ffff fffe", -2],
    ["int32", "cdab", "fffe ffff", -2],
    ["uint32", "abcd", "ffff fffe", 4_294_967_294],
    ["int16", "abcd", "8000", -32_768],
    ["uint16", "abcd", "8000", 32_768],
    ["uint16", "badc", "0180", 32_769],
    ["float64", "abcd", "405e dd2f 1a9f be77", 123.456],
    ["float64", "cdab", "be77 1a9f dd2f 405e", 123.456],
    ["float64", "dcba", "77be 9f1a 2fdd 5e40", 123.456],
    ["int64", "abcd", "ffff ffff ffff fffe", -2],
    ["uint64", "badc", "0000 0000 0000 0201", 258],
  ])("of type %s in order %s are read", (type, order, data, value) => {
    const out = decoded(run(type, order), hex(data));
    expect(out.values[0]).toBe(value);
    expect(out.quality[0]).toBe(QUALITY.good);
    expect(out.sourceTimeUs[0]).toBe(1000);
  });

  test("come back as they were written, in every type and order", () => {
    const wholes: readonly ModbusType[] = ["int16", "uint16", "int32", "uint32", "int64", "uint64"];
    fc.assert(
      fc.property(
        fc.constantFrom(...wholes),
        fc.constantFrom(...BYTE_ORDERS),
        fc.bigInt({ min: -(1n << 64n), max: 1n << 64n }),
        (type, order, wide) => {
          const bits = 16 * REGISTERS_OF[type as keyof typeof REGISTERS_OF];
          const value = type.startsWith("u") ? BigInt.asUintN(bits, wide) : BigInt.asIntN(bits, wide);
          const registers = encodeRegisters(type, order, value);
          expect(registers).toBeDefined();
          const out = decoded(run(type, order), packRegisters(registers as Uint16Array));
          expect(BigInt(out.others[0] ?? (out.values[0] as number))).toBe(value);
        },
      ),
    );
  });

  test("of floats come back as they were written, and NaN and infinity are bad", () => {
    fc.assert(
      fc.property(
        fc
          .constantFrom<[ModbusType, fc.Arbitrary<number>]>(["float32", fc.float()], ["float64", fc.double()])
          .chain(([type, values]) => fc.tuple(fc.constant(type), values, fc.constantFrom(...BYTE_ORDERS))),
        ([type, value, order]) => {
          const registers = encodeRegisters(type, order, value);
          expect(registers === undefined).toBe(!Number.isFinite(value));
          if (registers !== undefined)
            expect(decoded(run(type, order), packRegisters(registers)).values[0]).toBe(value);
        },
      ),
    );
    for (const data of ["7fc0 0000", "7f80 0000", "ff80 0000"]) {
      const out = decoded(run("float32", "abcd"), hex(data));
      expect([out.quality[0], reasonOf(out.reason[0] as number), out.values[0]]).toEqual([
        2,
        "not_finite",
        Number.NaN,
      ]);
    }
  });

  test("whole numbers that a double does not hold stay exact", () => {
    const out = decoded(run("uint64", "abcd"), hex("0020 0000 0000 0001"));
    expect(out.others[0]).toBe(9_007_199_254_740_993n);
    expect(out.values[0]).toBeNaN();
  });

  test("bits and fields are taken out of a register", () => {
    const data = hex("8005");
    expect(decoded(run("bit", "abcd", { low: 15, mask: 1 }), data).values[0]).toBe(1);
    expect(decoded(run("bit", "abcd", { low: 1, mask: 1 }), data).values[0]).toBe(0);
    expect(decoded(run("field", "abcd", { low: 0, mask: 7 }), data).values[0]).toBe(5);
    expect(decoded(run("field", "badc", { low: 12, mask: 15 }), hex("0580")).values[0]).toBe(8);
  });

  test("coils come from the lowest bit on, from any place", () => {
    const out = decoded(run("coil", "abcd", { offset: 7, count: 3 }), Uint8Array.of(0b1000_0000, 0b10));
    expect([...out.values]).toEqual([1, 0, 1]);
  });

  test("text ends at its zero or its length, in either order of bytes", () => {
    expect(decoded(run("string", "abcd", { bytes: 6 }), hex("4142 4320 0041")).others[0]).toBe("ABC");
    expect(decoded(run("string", "badc", { bytes: 5 }), hex("4241 4443 5845")).others[0]).toBe("ABCDE");
    const bad = decoded(run("string", "abcd", { bytes: 2 }), hex("ff41"));
    expect(reasonOf(bad.reason[0] as number)).toBe("unreadable");
  });

  test("go to the points that are named, and replace what was there", () => {
    const out = new ReadingBuffer(6);
    out.setOther(4, "old", 1);
    const points = Uint32Array.of(5, 4, 1);
    decodeRuns([run("uint16", "abcd", { count: 3 })], points, hex("0001 0002 0003"), 0, out, 2000);
    expect([out.values[5], out.values[4], out.values[1], out.others[4]]).toEqual([1, 2, 3, undefined]);
    expect(out.quality[0]).toBe(QUALITY.bad);
  });

  test.each<[ModbusType, number | bigint | string, number]>([
    ["uint16", 65_536, 0],
    ["uint16", -1, 0],
    ["int16", 32_768, 0],
    ["int32", 0.5, 0],
    ["uint64", 2 ** 60, 0],
    ["float32", 1e39, 0],
    ["uint16", "1", 0],
    ["string", "abcd", 3],
    ["string", "a\0b", 8],
    ["string", 5, 8],
  ])("a %s takes no %s", (type, value, bytes) => {
    expect(encodeRegisters(type, "abcd", value, bytes)).toBeUndefined();
  });

  test("text is padded with zeros", () => {
    expect(encodeRegisters("string", "abcd", "abc", 6)).toEqual(Uint16Array.of(0x6162, 0x6300, 0));
  });
});
