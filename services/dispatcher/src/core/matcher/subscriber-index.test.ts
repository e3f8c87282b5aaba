import fc from "fast-check";
import { expect, it } from "vitest";
import { SubscriberIndex } from "./subscriber-index.js";

interface Named {
  readonly name: string;
}

const steps = fc.array(
  fc.tuple(
    fc.constantFrom("add", "add", "remove", "leave"),
    fc.nat({ max: 4 }),
    fc.constantFrom("a", "a/#", "+"),
  ),
  { maxLength: 60 },
);

it("keeps subscribers apart, whose numbers are given again when they hold nothing any more", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const index = new SubscriberIndex<Named>({ maxFilters: 100, maxPairs: 100 });
      const subscribers = Array.from({ length: 5 }, (_, i): Named => ({ name: `${i}` }));
      const held = new Set<string>();
      for (const [what, who, filter] of all) {
        const subscriber = subscribers[who]!;
        if (what === "add") {
          index.add("", filter, subscriber);
          held.add(`${who}|${filter}`);
        } else if (what === "remove") {
          expect(index.remove("", filter, subscriber) !== "absent").toBe(held.delete(`${who}|${filter}`));
        } else {
          index.removeAll(subscriber);
          for (const pair of [...held]) if (pair.startsWith(`${who}|`)) held.delete(pair);
        }
        const found: string[] = [];
        index.match("", "a", ({ name }) => found.push(name));
        expect(found.sort()).toEqual([...held].map((pair) => pair.split("|")[0]).sort());
        expect(subscribers.reduce((sum, s) => sum + index.countOf(s), 0)).toBe(held.size);
      }
    }),
  );
});

it("counts what it cannot hold", () => {
  const index = new SubscriberIndex<Named>({ maxFilters: 1, maxPairs: 2 });
  const one = { name: "1" };
  expect(["a", "b", "not/#/valid"].map((filter) => index.add("", filter, one))).toEqual([
    ...["first", "full", "malformed"],
  ]);
  expect(index.refused).toBe(1);
});
