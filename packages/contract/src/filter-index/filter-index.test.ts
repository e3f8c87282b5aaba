import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isTopicFilter, topicMatches } from "../topics.js";
import { FilterIndex, type FilterIndexOptions } from "./filter-index.js";
import { filterKey, splitFilterKey } from "./key.js";

const level = fc.constantFrom("a", "b", "", "$x", "ab", "é", "温度");
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { maxLength: 5 }), fc.boolean())
  .map(([levels, open]) => [...levels, ...(open || levels.length === 0 ? ["#"] : [])].join("/"))
  .filter(isTopicFilter);
const paths = fc.array(level, { minLength: 1, maxLength: 6 }).map((levels) => levels.join("/"));
const tenants = fc.constantFrom("", "acme", "acme2");
const owners = fc.nat({ max: 5 });
const steps = fc.array(
  fc.record({
    what: fc.constantFrom("add", "add", "remove", "leave"),
    tenant: tenants,
    filter: filters,
    owner: owners,
    tag: fc.constantFrom(0, 7, 0xffff_ffff),
  }),
  { maxLength: 120 },
);

/** What the index promises, as plainly as it can be said. */
class Model {
  readonly pairs = new Map<string, number>();

  held(tenant: string, filter: string): number {
    let count = 0;
    for (const pair of this.pairs.keys()) if (pair.startsWith(`${tenant}|${filter}|`)) count++;
    return count;
  }

  match(tenant: string, path: string): string[] {
    const found: string[] = [];
    for (const [pair, tag] of this.pairs) {
      const [t, filter, owner] = pair.split("|") as [string, string, string];
      if (t === tenant && topicMatches(filter, path)) found.push(`${owner}:${tag}`);
    }
    return found.sort();
  }

  leave(owner: number): void {
    for (const pair of [...this.pairs.keys()]) if (pair.endsWith(`|${owner}`)) this.pairs.delete(pair);
  }
}

const createIndex = (options: Partial<FilterIndexOptions> = {}) =>
  new FilterIndex({ seed: 42, maxFilters: 200_000, maxPairs: 200_000, ...options });

function matching(index: FilterIndex, tenant: string, path: string): string[] {
  const found: string[] = [];
  index.match(tenant, path, (owner, tag) => found.push(`${owner}:${tag}`));
  return found.sort();
}

describe("FilterIndex", () => {
  it.each<[string, Partial<FilterIndexOptions>]>([
    ["with room for every shape", {}],
    ["with two shapes", { maxShapes: 2 }],
    ["without shapes", { maxShapes: 0 }],
  ])("finds exactly what the standard says, while filters come and go, %s", (_name, options) => {
    fc.assert(
      fc.property(steps, fc.array(fc.tuple(tenants, paths), { maxLength: 10 }), (all, asked) => {
        const index = createIndex(options);
        const model = new Model();
        for (const { what, tenant, filter, owner, tag } of all) {
          const pair = `${tenant}|${filter}|${owner}`;
          if (what === "add") {
            const expected = model.pairs.has(pair)
              ? "known"
              : model.held(tenant, filter) === 0
                ? "first"
                : "added";
            model.pairs.set(pair, tag);
            expect(index.add(tenant, filter, owner, tag)).toBe(expected);
          } else if (what === "remove") {
            const was = model.pairs.delete(pair);
            const left = model.held(tenant, filter);
            expect(index.remove(tenant, filter, owner)).toBe(
              was ? (left === 0 ? "last" : "removed") : "absent",
            );
          } else {
            model.leave(owner);
            index.removeOwner(owner);
            expect(index.countOf(owner)).toBe(0);
          }
          expect(index.tagOf(tenant, filter, owner)).toBe(model.pairs.get(pair));
        }
        expect(index.size).toBe(model.pairs.size);
        for (const [tenant, path] of asked)
          expect(matching(index, tenant, path)).toEqual(model.match(tenant, path));
        const keys = new Set(
          [...model.pairs.keys()].map((p) => p.split("|")).map(([t, f]) => filterKey(t!, f!)),
        );
        expect([...index.keys()].sort()).toEqual([...keys].sort());
      }),
      { numRuns: 200 },
    );
  });

  it("takes any text without harm and refuses exactly what is no filter", () => {
    const texts = fc.oneof(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc
        .array(fc.constantFrom("+", "#", "/", "a", "\0", "$", "\ud800"), { maxLength: 40 })
        .map((u) => u.join("")),
    );
    fc.assert(
      fc.property(fc.array(texts, { maxLength: 20 }), texts, (all, path) => {
        const index = createIndex();
        const held = new Set<string>();
        for (const text of all) {
          const outcome = index.add("", text, 1);
          expect(outcome !== "malformed").toBe(isTopicFilter(text));
          if (outcome !== "malformed") held.add(text);
        }
        expect(matching(index, "", path)).toHaveLength([...held].filter((f) => topicMatches(f, path)).length);
        for (const text of all) index.remove("", text, 1);
        expect([index.size, index.filters]).toEqual([0, 0]);
      }),
      { numRuns: 500 },
    );
  });

  it("bears topics of sixty thousand levels", () => {
    const index = createIndex();
    const deep = "/".repeat(60_000);
    const wild = `${"/".repeat(40)}+${"/".repeat(20)}`;
    for (const [owner, filter] of [deep, `${deep}#`, wild, "#"].entries()) index.add("", filter, owner);
    expect(matching(index, "", deep)).toEqual(["0:0", "1:0", "3:0"]);
    expect(matching(index, "", wild.replace("+", "x"))).toEqual(["2:0", "3:0"]);
    expect(index.add("", "a".repeat(65_536), 1)).toBe("malformed");
  });

  it("refuses what is beyond a bound, and takes it when there is room again", () => {
    const index = createIndex({ maxFilters: 2, maxPairs: 3 });
    expect(["a", "b", "c"].map((f) => index.add("", f, 1))).toEqual(["first", "first", "full"]);
    expect([index.add("", "a", 2), index.add("", "b", 2)]).toEqual(["added", "full"]);
    index.remove("", "b", 1);
    expect(index.add("", "c", 1)).toBe("first");
    const odd = createIndex({ maxShapes: 0, maxOdd: 1 });
    expect([odd.add("", "a", 1), odd.add("", "b", 1)]).toEqual(["first", "full"]);
    const small = createIndex({ maxTextBytes: 64 });
    expect(small.add("", "a".repeat(100), 1)).toBe("full");
  });

  it("uses the room of texts of every length again", () => {
    const index = createIndex({ maxTextBytes: 512 * 1024 });
    for (let round = 0; round < 60; round++) {
      const filter = (i: number): string => `${i}/${"x".repeat((round * 97) % 700)}`;
      for (let i = 0; i < 400; i++) expect(index.add("", filter(i), 1)).toBe("first");
      expect(matching(index, "", filter(399))).toEqual(["1:0"]);
      for (let i = 0; i < 400; i++) index.remove("", filter(i), 1);
    }
    expect(index.size).toBe(0);
  });

  it("drops of an owner what has a certain tag, and says what nobody holds any more", () => {
    const index = createIndex();
    index.add("", "a", 1, 1);
    index.add("t", "b", 1, 1);
    index.add("", "c", 1, 2);
    index.add("", "a", 2);
    const last: string[] = [];
    index.removeOwner(
      1,
      (key) => last.push(key),
      (tag) => tag === 1,
    );
    expect(last.map(splitFilterKey)).toEqual([{ tenant: "t", filter: "b" }]);
    expect([index.countOf(1), index.countOf(2)]).toEqual([1, 1]);
    const left: [string, number][] = [];
    index.forEachOf(1, (key, tag) => left.push([key, tag]));
    expect(left).toEqual([["c", 2]]);
  });

  it("lets a hundred thousand owners hold one filter, and go, without looking through them all", () => {
    const index = createIndex();
    const count = 100_000;
    for (let owner = 0; owner < count; owner++) index.add("", "all/#", owner);
    for (let owner = 0; owner < count; owner++) expect(index.remove("", "all/#", owner)).not.toBe("absent");
    expect(index.filters).toBe(0);
  });

  it("tells filters apart whose hashes collide", () => {
    const [one, other] = collidingLevels();
    const index = new FilterIndex({ seed: 0 });
    const all = [one, other].flatMap((l) => [l, `x/${l}`, `${l}/#`, `+/${l}/x`]);
    for (const [owner, filter] of all.entries()) expect(index.add("", filter, owner)).toBe("first");
    expect(matching(index, "", one)).toEqual(["0:0", "2:0"]);
    expect(matching(index, "", `x/${other}`)).toEqual(["5:0"]);
    expect(matching(index, "", `x/${one}/x`)).toEqual(["3:0"]);
    expect(index.remove("", other, 0)).toBe("absent");
  });
});

/** Two levels with one hash, for the seed 0: found by trying, by the formula of FNV-1a. */
function collidingLevels(): [string, string] {
  const seen = new Map<number, string>();
  for (let i = 0; i < 1_000_000; i++) {
    const text = `k${(Math.imul(i, 0x9e37_79b1) >>> 0).toString(36)}`;
    let hash = 0;
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x0100_0193);
    const other = seen.get(hash);
    if (other !== undefined) return [other, text];
    seen.set(hash, text);
  }
  throw new Error("there is no collision to test with");
}
