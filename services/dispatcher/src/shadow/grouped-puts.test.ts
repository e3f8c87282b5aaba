import type { KeyValue } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { GroupedPuts } from "./grouped-puts.js";

/** Keeps what it is given, and tells in which writes it came; `fail` is thrown instead of the answer to the next one of many. */
function setUp() {
  const stored = new Map<string, number>();
  const writes: number[] = [];
  const state: { last: number; fail: AppError | undefined } = { last: 0, fail: undefined };
  const take = (key: string, expected: number): number => {
    if ((stored.get(key) ?? 0) !== expected)
      throw new AppError("store.conflict", `${key} was written meanwhile`);
    state.last += 1;
    stored.set(key, state.last);
    return state.last;
  };
  const bucket: Pick<KeyValue, "put" | "putAll"> = {
    put: async (key, _value, expected = 0) => {
      writes.push(1);
      return take(key, expected);
    },
    putAll: async (entries) => {
      writes.push(entries.length);
      const { fail } = state;
      state.fail = undefined;
      if (fail !== undefined) throw fail;
      for (const { key, expected } of entries)
        if ((stored.get(key) ?? 0) !== expected)
          throw new AppError("store.conflict", `${key} was written meanwhile`);
      return entries.map(({ key, expected }) => take(key, expected));
    },
  };
  return { puts: new GroupedPuts(async () => bucket as KeyValue), stored, writes, state };
}

const VALUE = Buffer.from("x");

describe("puts that come together", () => {
  it("are one write, and each knows its revision", async () => {
    const { puts, stored, writes } = setUp();
    const revisions = await Promise.all(["a", "b", "c"].map((key) => puts.put(key, VALUE, 0)));
    expect(revisions).toEqual(["a", "b", "c"].map((key) => stored.get(key)));
    expect(writes).toEqual([3]);
  });

  it("are as many writes as the bounds ask for, in their order", async () => {
    const { puts, writes } = setUp();
    const many = Array.from({ length: 300 }, (_, i) => puts.put(`k${i}`, VALUE, 0));
    expect(await Promise.all(many)).toEqual(many.map((_, i) => i + 1));
    await Promise.all([puts.put("large", Buffer.alloc(600 * 1024), 0), puts.put("small", VALUE, 0)]);
    expect(writes).toEqual([256, 44, 1, 1]);
  });

  it("are written one by one where one of them is refused, so that it refuses no other", async () => {
    const { puts, stored } = setUp();
    const outcomes = await Promise.allSettled([
      puts.put("a", VALUE, 0),
      puts.put("b", VALUE, 7),
      puts.put("c", VALUE, 0),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(outcomes[1]).toMatchObject({ reason: { code: "store.conflict" } });
    expect([...stored.keys()]).toEqual(["a", "c"]);
  });

  it("all fail where it is not known whether they were written, and later ones do not", async () => {
    const { puts, state } = setUp();
    state.fail = new AppError("bus.timeout", "no answer");
    const outcomes = await Promise.allSettled([puts.put("a", VALUE, 0), puts.put("b", VALUE, 0)]);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: "bus.timeout" } });
    expect(await puts.put("a", VALUE, 0)).toBe(1);
  });
});
