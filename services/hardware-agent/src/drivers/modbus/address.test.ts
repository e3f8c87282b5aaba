import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ModbusAddress, parseModbusAddress, parseModbusUnit } from "./address.js";

const number = { type: "number" } as const;
const parse = (text: string, type: "number" | "integer" | "boolean" | "string" = "number") =>
  parseModbusAddress(text, { type });

describe("Modbus addresses", () => {
  test.each<[string, Partial<ModbusAddress>]>([
    ["holding:100", { table: "holding", address: 100, type: "uint16", size: 1 }],
    ["input:7", { table: "input", address: 7 }],
    ["coil:12", { table: "coil", address: 12, type: "coil" }],
    ["discrete:0", { table: "discrete", address: 0, type: "coil" }],
    ["4x00101", { table: "holding", address: 100 }],
    ["3x1", { table: "input", address: 0 }],
    ["40101", { table: "holding", address: 100 }],
    ["400101", { table: "holding", address: 100 }],
    ["465536", { table: "holding", address: 65_535 }],
    ["00001", { table: "coil", address: 0 }],
    ["10001", { table: "discrete", address: 0 }],
    ["holding:100/float32", { type: "float32", order: "abcd", size: 2 }],
    ["holding:100/float32/cdab", { type: "float32", order: "cdab" }],
    ["holding:100/uint64/dcba", { type: "uint64", size: 4 }],
    ["holding:100.3", { type: "bit", low: 3, high: 3 }],
    ["holding:100.4-7", { type: "field", low: 4, high: 7 }],
    [" holding:1 ", { address: 1 }],
  ])("%s is read", (text, expected) => {
    expect(parse(text)).toMatchObject(expected);
  });

  test("text has a length", () => {
    expect(parse("holding:10/string:15/badc", "string")).toMatchObject({
      type: "string",
      bytes: 15,
      size: 8,
      order: "badc",
    });
    expect(parse("holding:10:16", "string")).toMatchObject({ type: "string", bytes: 16 });
  });

  test.each<[string, "number" | "boolean" | "string", RegExp]>([
    ["", "number", /holding:100/],
    ["register 5", "number", /holding:100/],
    ["holding:65536", "number", /0 to 65535/],
    ["4x0", "number", /count from 1/],
    ["465537", "number", /count from 1/],
    ["holding:65535/float32", "number", /ends at register 65535/],
    ["holding:1/float16", "number", /float32/],
    ["holding:1/float32/aabb", "number", /cdab/],
    ["holding:1.16", "number", /15/],
    ["holding:1.7-4", "number", /lower end first/],
    ["holding:1.4-7", "boolean", /one bit/],
    ["holding:1.4/float32", "number", /single register/],
    ["coil:1/uint16", "number", /one bit already/],
    ["coil:1.2", "number", /one bit already/],
    ["coil:1", "string", /no text/],
    ["holding:1/string:4", "number", /holds a number/],
    ["holding:1/uint16", "string", /holds a string/],
    ["holding:1", "string", /length/],
    ["holding:1/uint16:4", "number", /length only/],
  ])("%s for a %s is refused with its rule", (text, type, rule) => {
    expect(() => parse(text, type)).toThrow(rule);
    expect(() => parse(text, type)).toThrow(expect.objectContaining({ code: "hardware.bad_address" }));
  });

  test("whatever is written is an address within its table, or refused", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^(holding|4x|coil):?\d{1,6}(\.\d+)?(\/[a-z0-9]+)?$/)),
        (text) => {
          try {
            const { address, size } = parseModbusAddress(text, number);
            expect(address >= 0 && address + size <= 65_536).toBe(true);
          } catch (error) {
            expect(AppError.is(error) && error.code).toBe("hardware.bad_address");
          }
        },
      ),
    );
  });

  test("units are numbers", () => {
    expect(parseModbusUnit("17", 1, 247)).toBe(17);
    expect(parseModbusUnit(undefined, 255, 255)).toBe(255);
    expect(parseModbusUnit("0", 1, 247)).toBe(0);
    for (const text of ["248", "-1", "1.5", "", "x", "0x11"]) {
      expect(() => parseModbusUnit(text, 1, 247)).toThrow(/1 to 247/);
    }
  });
});
