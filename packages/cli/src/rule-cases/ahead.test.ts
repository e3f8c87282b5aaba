import { expect, it } from "vitest";
import { ahead } from "./ahead.js";

it("gives all that its source has, in order, and asks for the next while one is worked on", async () => {
  const log: string[] = [];
  async function* source() {
    for (const name of ["a", "b", "c"]) {
      log.push(`asked for ${name}`);
      yield name;
    }
  }
  for await (const name of ahead(source())) {
    log.push(`has ${name}`);
    await Promise.resolve();
  }
  expect(log).toEqual(["asked for a", "asked for b", "has a", "asked for c", "has b", "has c"]);
});

it("ends its source when nobody wants more, and throws what went wrong where it stands", async () => {
  let ended = 0;
  async function* source() {
    try {
      yield 1;
      yield 2;
      throw new RangeError("no more");
    } finally {
      ended++;
    }
  }
  for await (const one of ahead(source())) if (one === 1) break;
  expect(ended).toBe(1);
  const taken: number[] = [];
  const all = async (): Promise<void> => {
    for await (const one of ahead(source())) taken.push(one);
  };
  await expect(all()).rejects.toThrow(RangeError);
  expect(taken).toEqual([1, 2]);
  expect(ended).toBe(2);
});
