import { expect, it } from "vitest";
import type { Running, System } from "../systems/system.js";
import { type Case, runRounds } from "./rounds.js";

function system(name: string, journal: string[]): System {
  return {
    name,
    protocols: ["mqtt"],
    lack: async () => undefined,
    start: async () => {
      journal.push(`+${name}`);
      return {
        version: "1",
        pids: () => [],
        [Symbol.asyncDispose]: async () => void journal.push(`-${name}`),
      };
    },
  };
}

function measuring(one: System, values: number[], suffix = ""): Case {
  return {
    system: one,
    suffix,
    start: { connections: 1 },
    measure: async (_running: Running) => {
      const rate = values.shift();
      if (rate === undefined) throw new Error("nothing came");
      return { rate };
    },
  };
}

it("alternates the systems, one running at a time, and merges the figures of a system", async () => {
  const journal: string[] = [];
  const [a, b] = [system("a", journal), system("b", journal)];
  const cases = [measuring(a, [1, 3, 2]), measuring(a, [7, 7, 7], "strict"), measuring(b, [5, 4, 6])];
  const results = await runRounds(cases, 3, () => undefined);
  expect(journal.join("")).toBe("+a-a+a-a+b-b".repeat(3));
  expect(results).toMatchObject([
    { name: "a", version: "1", figures: { rate: 2, rate_strict: 7 }, spread: { rate: [1, 3] }, rounds: 3 },
    { name: "b", figures: { rate: 5 } },
  ]);
});

it("reports a failing case, does not repeat it and goes on with the others", async () => {
  const journal: string[] = [];
  const [bad, good] = [system("bad", journal), system("good", journal)];
  const results = await runRounds([measuring(bad, []), measuring(good, [1, 1])], 2, () => undefined);
  expect(journal.join("")).toBe("+bad-bad+good-good+good-good");
  expect(results).toMatchObject([
    { name: "bad", figures: {}, errors: ["bad: nothing came"] },
    { name: "good", figures: { rate: 1 } },
  ]);
});
