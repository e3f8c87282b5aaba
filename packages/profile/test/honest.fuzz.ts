import fc from "fast-check";
import { inject, it } from "vitest";
import { honestBytes, honestNoise, honestValues } from "./honest.js";

it("finds no payload that becomes a wrong sample in the time it is given", { timeout: 0 }, () => {
  const end = performance.now() + inject("fuzzMinutes") * 60_000;
  while (performance.now() < end)
    for (const property of [honestValues, honestBytes, honestNoise])
      fc.assert<readonly unknown[]>(property as fc.IProperty<readonly unknown[]>, { numRuns: 10_000 });
});

declare module "vitest" {
  interface ProvidedContext {
    fuzzMinutes: number;
  }
}
