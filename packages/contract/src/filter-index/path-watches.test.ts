import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FilterIndex } from "./filter-index.js";
import { PathWatches } from "./path-watches.js";

const level = fc.constantFrom("a", "b", "$x");
const paths = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 4 }), fc.boolean())
  .map(([levels, open]) => [...levels, ...(open || levels.length === 0 ? ["#"] : [])].join("/"));
const steps = fc.array(
  fc.record({
    what: fc.constantFrom("add", "add", "remove", "leave", "ask"),
    filter: filters,
    owner: fc.nat({ max: 3 }),
    tag: fc.nat({ max: 1 }),
    path: paths,
  }),
  { maxLength: 80 },
);

/** Remembers matches in slots, as the users of the watches do. */
class Cache {
  readonly index: FilterIndex;
  readonly paths: string[] = [];
  readonly remembered: (string | undefined)[] = [];
  readonly watches: PathWatches;

  constructor(limits: { maxWatches?: number; maxShapes?: number }) {
    this.index = new FilterIndex({ seed: 7, maxShapes: limits.maxShapes ?? 1024 });
    this.watches = new PathWatches(this.index, {
      ...limits,
      onStale: (slot) => {
        this.remembered[slot] = undefined;
      },
      onAllStale: () => this.remembered.fill(undefined),
    });
  }

  ask(path: string): string {
    let slot = this.paths.indexOf(path);
    if (slot < 0) slot = this.paths.push(path) - 1;
    let known = this.remembered[slot];
    if (known === undefined) {
      known = this.match(path);
      this.remembered[slot] = known;
      this.watches.watch(slot, "t", path);
    }
    return known;
  }

  match(path: string): string {
    const found: string[] = [];
    this.index.match("t", path, (owner, tag) => found.push(`${owner}:${tag}`));
    return found.sort().join();
  }
}

describe("PathWatches", () => {
  it.each([
    ["as many watches as needed", {}],
    ["few watches", { maxWatches: 5 }],
    ["few shapes", { maxShapes: 2 }],
  ])("leaves no wrong match remembered, with %s", (_name, limits) => {
    fc.assert(
      fc.property(steps, (all) => {
        const cache = new Cache(limits);
        for (const { what, filter, owner, tag, path } of all) {
          if (what === "add") cache.index.add("t", filter, owner, tag);
          else if (what === "remove") cache.index.remove("t", filter, owner);
          else if (what === "leave") cache.index.removeOwner(owner);
          else cache.ask(path);
          for (const [slot, known] of cache.remembered.entries())
            if (known !== undefined) expect(known).toBe(cache.match(cache.paths[slot]!));
        }
      }),
      { numRuns: 300 },
    );
  });

  it("voids what a change concerns and nothing else", () => {
    const cache = new Cache({});
    cache.index.add("t", "devices/1/commands/#", 1);
    cache.index.add("t", "devices/+/state", 1);
    cache.index.add("t", "devices/1/state", 1);
    for (const path of ["devices/1/commands/go", "devices/2/commands/go", "devices/2/state"]) cache.ask(path);
    cache.index.add("t", "devices/2/commands/#", 1);
    cache.index.add("u", "devices/2/state", 1);
    expect(cache.remembered.map((known) => known !== undefined)).toEqual([true, false, true]);
    cache.ask("devices/2/state");
    cache.index.add("u", "devices/1/commands/#", 1);
    cache.index.remove("t", "devices/1/commands/#", 1);
    expect(cache.remembered.map((known) => known !== undefined)).toEqual([false, false, true]);
  });

  it("uses its room again when slots are forgotten", () => {
    const cache = new Cache({ maxWatches: 10 });
    cache.index.add("t", "a/b", 1);
    for (let i = 0; i < 1000; i++) {
      cache.watches.watch(i % 3, "t", `x/${i}`);
      cache.watches.forget(i % 3);
    }
    cache.ask("a/b");
    cache.ask("a/c");
    cache.index.remove("t", "a/b", 1);
    expect(cache.remembered.map((known) => known !== undefined)).toEqual([false, true]);
  });
});
