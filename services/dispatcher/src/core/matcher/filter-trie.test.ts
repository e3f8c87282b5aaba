import { topicMatches } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FilterTrie } from "./filter-trie.js";

const level = fc.constantFrom("a", "b", "", "$x", "ab");
const topics = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/"));
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([levels, hash]) => (hash ? [...levels, "#"] : levels).join("/"));

const matching = (trie: FilterTrie<string>, topic: string): string[] => {
  const found: string[] = [];
  trie.match(topic, (value) => found.push(value));
  return found.sort();
};

describe("FilterTrie", () => {
  it("finds exactly the filters that match by the standard's words", () => {
    fc.assert(
      fc.property(fc.uniqueArray(filters, { maxLength: 30 }), topics, (all, topic) => {
        const trie = new FilterTrie<string>();
        for (const filter of all) expect(trie.add(filter, filter)).toBe(true);
        expect(matching(trie, topic)).toEqual(all.filter((f) => topicMatches(f, topic)).sort());
      }),
    );
  });

  it("forgets what is deleted and keeps the rest", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(filters, { minLength: 1, maxLength: 20 }),
        fc.nat(),
        topics,
        (all, pick, topic) => {
          const trie = new FilterTrie<string>();
          for (const filter of all) trie.add(filter, filter);
          const gone = all[pick % all.length]!;
          expect(trie.delete(gone, gone)).toBe(true);
          expect(trie.delete(gone, gone)).toBe(false);
          const rest = all.filter((f) => f !== gone);
          expect(matching(trie, topic)).toEqual(rest.filter((f) => topicMatches(f, topic)).sort());
          for (const filter of rest) trie.delete(filter, filter);
          expect([trie.size, matching(trie, topic)]).toEqual([0, []]);
        },
      ),
    );
  });

  it.each([
    ["#", "$SYS/load", false],
    ["+/load", "$SYS/load", false],
    ["$SYS/#", "$SYS/load", true],
    ["sport/#", "sport", true],
    ["sport/+", "sport", false],
    ["+/+", "/finance", true],
    ["/+", "/finance", true],
    ["+", "/finance", false],
  ])("%s against %s: %s", (filter, topic, matches) => {
    const trie = new FilterTrie<string>();
    trie.add(filter, "x");
    expect(matching(trie, topic)).toEqual(matches ? ["x"] : []);
  });

  it("walks topics of ten thousand levels without running out of stack", () => {
    const trie = new FilterTrie<string>();
    const deep = Array.from({ length: 10_000 }, () => "a").join("/");
    trie.add(deep, "deep");
    trie.add("#", "all");
    expect(matching(trie, deep)).toEqual(["all", "deep"]);
    expect(trie.delete(deep, "deep")).toBe(true);
  });

  it("keeps values of one filter apart", () => {
    const trie = new FilterTrie<string>();
    trie.add("a", "one");
    trie.add("a", "two");
    expect(trie.add("a", "two")).toBe(false);
    trie.delete("a", "one");
    expect([trie.size, matching(trie, "a")]).toEqual([1, ["two"]]);
  });
});
