import { expect, inject, it } from "vitest";
import { loadCorpus } from "./corpus.js";
import { fuzz } from "./fuzz.js";

it("finds nothing in the time it is given", { timeout: 0 }, () => {
  const end = performance.now() + inject("fuzzMinutes") * 60_000;
  const seed = Math.trunc(Math.random() * 0x1_0000_0000);
  expect(fuzz(loadCorpus(), seed, () => performance.now() < end)).toBeUndefined();
});

declare module "vitest" {
  interface ProvidedContext {
    fuzzMinutes: number;
  }
}
