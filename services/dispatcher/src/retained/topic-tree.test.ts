import { isTopicFilter, isTopicName, topicMatches } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TopicTree } from "./topic-tree.js";

const level = fc.constantFrom("a", "b", "", "$SYS", "c");
// Deeper than the tree has nodes for, at times.
const topic = fc
  .oneof(
    fc.array(level, { minLength: 1, maxLength: 4 }),
    fc.array(level, { minLength: 14, maxLength: 20 }),
    fc.constantFrom(14, 15, 16, 17, 18, 19).map((n) => Array<string>(n).fill("a")),
  )
  .map((levels) => levels.join("/"))
  .filter(isTopicName);
const filterLevel = fc.constantFrom("a", "b", "", "+", "+", "$SYS");
const filter = fc
  .oneof(
    fc.array(filterLevel, { minLength: 1, maxLength: 4 }),
    fc.array(filterLevel, { minLength: 14, maxLength: 20 }),
    fc.constantFrom(14, 15, 16, 17, 18, 19).map((n) => Array<string>(n).fill("+")),
    fc.constantFrom(14, 15, 16, 17, 18, 19).map((n) => Array<string>(n).fill("a")),
  )
  .chain((levels) => fc.boolean().map((hash) => (hash ? [...levels, "#"] : levels).join("/")))
  .filter(isTopicFilter);
const change = fc.record({ topic, set: fc.boolean() });

describe("TopicTree", () => {
  it("finds what a map and the plain matcher find, through every change", () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 40 }),
        fc.array(filter, { maxLength: 10 }),
        (changes, filters) => {
          const tree = new TopicTree<string>();
          const model = new Set<string>();
          for (const { topic: name, set } of changes) {
            if (set) {
              tree.set(name, name);
              model.add(name);
            } else {
              tree.delete(name);
              model.delete(name);
            }
            expect(tree.get(name)).toBe(set ? name : undefined);
          }
          expect(tree.size).toBe(model.size);
          for (const wanted of [...filters, "#", "+/#"]) {
            const found: string[] = [];
            tree.match(wanted, (value) => found.push(value));
            expect(found.sort()).toEqual([...model].filter((name) => topicMatches(wanted, name)).sort());
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it("holds nothing any more when everything was deleted", () => {
    fc.assert(
      fc.property(fc.uniqueArray(topic, { maxLength: 30 }), (names) => {
        const tree = new TopicTree<number>();
        names.forEach((name, i) => {
          tree.set(name, i);
        });
        for (const name of names) tree.delete(name);
        expect(tree.size).toBe(0);
        const left: number[] = [];
        tree.forEach((value) => {
          left.push(value);
        });
        expect(left).toEqual([]);
      }),
    );
  });
});
