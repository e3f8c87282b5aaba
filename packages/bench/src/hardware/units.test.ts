import { describe, expect, it } from "vitest";
import { answersTo } from "./units.js";

const nobody: ReadonlySet<number> = new Set();
const read = (unit: number, address: number, count: number, fn = 3): Buffer => {
  const frame = Buffer.from([0x12, 0x34, 0, 0, 0, 6, unit, fn, 0, 0, 0, 0]);
  frame.writeUInt16BE(address, 8);
  frame.writeUInt16BE(count, 10);
  return frame;
};
const hex = (replies: readonly Buffer[]): string => Buffer.concat(replies).toString("hex");

describe("units of the bench", () => {
  it("answer with the address plus the tick, so that the next read has other values", () => {
    const { replies, taken } = answersTo(read(7, 256, 2), 5, nobody);
    expect(taken).toBe(12);
    expect(hex(replies)).toBe("12340000000707030401050106");
    expect(hex(answersTo(read(7, 256, 2), 6, nobody).replies)).toBe("12340000000707030401060107");
  });

  it("answer at the last address at the last tick with as many registers as were asked for", () => {
    expect(hex(answersTo(read(1, 65_411, 125), 29_999, nobody).replies)).toHaveLength(2 * 259);
  });

  it("leave half a request for later", () => {
    const two = Buffer.concat([read(1, 0, 1), read(1, 0, 1).subarray(0, 11)]);
    const { replies, taken } = answersTo(two, 0, nobody);
    expect(taken).toBe(12);
    expect(hex(replies)).toBe("1234000000050103020000");
  });

  it("refuse another function, and more registers than a frame holds", () => {
    expect(hex(answersTo(read(1, 0, 1, 6), 0, nobody).replies)).toBe("123400000003018601");
    expect(hex(answersTo(read(1, 0, 126), 0, nobody).replies)).toBe("123400000003018303");
  });

  it("say nothing for a unit that is silent, and answer for its neighbour", () => {
    const { replies, taken } = answersTo(Buffer.concat([read(1, 0, 1), read(2, 9, 1)]), 0, new Set([1]));
    expect(taken).toBe(24);
    expect(hex(replies)).toBe("1234000000050203020009");
  });
});
