import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FilterTree } from "./filter-tree.js";
import { SubscriptionTable } from "./subscription-table.js";
import type { Subscriber } from "./subscriptions.js";

/** Section 4.7, as plainly as it can be said. */
function matches(filter: string, path: string): boolean {
  const f = filter.split("/");
  const p = path.split("/");
  if (path.startsWith("$") && (f[0] === "#" || f[0] === "+")) return false;
  for (let i = 0; i < f.length; i++) {
    if (f[i] === "#") return true;
    if (i >= p.length || (f[i] !== "+" && f[i] !== p[i])) return false;
  }
  return f.length === p.length;
}

const level = fc.constantFrom("a", "b", "", "$x");
const path = fc.array(level, { minLength: 1, maxLength: 4 }).map((l) => l.join("/"));
const filter = fc
  .tuple(fc.array(fc.constantFrom("a", "b", "", "+", "$x"), { maxLength: 4 }), fc.boolean())
  .map(([levels, hash]) => [...levels, ...(hash || levels.length === 0 ? ["#"] : [])].join("/"));

describe("FilterTree", () => {
  it("matches as the standard says, while filters come and go", () => {
    const steps = fc.array(fc.tuple(fc.constantFrom("add", "remove"), filter), { maxLength: 40 });
    fc.assert(
      fc.property(steps, fc.array(path, { maxLength: 8 }), (changes, paths) => {
        const tree = new FilterTree<string>();
        const held = new Set<string>();
        for (const [what, f] of changes) {
          if (what === "add") {
            tree.add(f, f);
            held.add(f);
          } else {
            tree.remove(f, f);
            held.delete(f);
          }
        }
        for (const p of paths) {
          expect(tree.match(p).sort()).toEqual([...held].filter((f) => matches(f, p)).sort());
        }
      }),
    );
  });

  it("keeps nothing of filters that are gone", () => {
    const tree = new FilterTree<string>();
    const empty = JSON.stringify(tree);
    for (const f of ["a/b/c", "a/+/c", "a/#", "#", "+"]) tree.add(f, f);
    for (const f of ["a/b/c", "a/+/c", "a/#", "#", "+"]) tree.remove(f, f);
    expect(JSON.stringify(tree)).toBe(empty);
  });
});

function subscriber(number: number, tenant = ""): Subscriber {
  return { number, identity: { tenant, deviceId: "d", user: "" }, deliver: () => true, revoked: () => {} };
}

function tableOf() {
  const interest: string[] = [];
  const table = new SubscriptionTable({
    wanted: (f) => interest.push(`+${f}`),
    unwanted: (f) => interest.push(`-${f}`),
  });
  return { table, interest };
}

describe("SubscriptionTable", () => {
  it("merges the filters of one subscriber into one target with all tags", () => {
    const { table } = tableOf();
    const [a, b] = [subscriber(1), subscriber(2)];
    table.add(a, "x/#", 1);
    table.add(a, "x/+", 2);
    table.add(b, "x/y", 3);
    const { targets } = table.match("", "x/y");
    expect(targets.map((t) => [t.subscriber.number, [...t.tags].sort()])).toEqual([
      [1, [1, 2]],
      [2, [3]],
    ]);
  });

  it("shows a subscriber the messages of its tenant only", () => {
    const { table } = tableOf();
    table.add(subscriber(1, "acme"), "#", 1);
    expect(table.match("", "a").targets).toEqual([]);
    expect(table.match("acme", "a").targets).toHaveLength(1);
  });

  it("serves the members of a shared group in turn, and those of another tenant not at all", () => {
    const { table } = tableOf();
    const members = [subscriber(1), subscriber(2), subscriber(3)];
    for (const member of members) table.add(member, "$share/g/a", 0);
    table.add(subscriber(9, "acme"), "$share/g/a", 0);
    const { groups, targets } = table.match("", "a");
    expect(targets).toEqual([]);
    expect(groups).toHaveLength(1);
    const served = Array.from({ length: 6 }, () => groups[0]!.next().subscriber.number);
    expect(served.sort()).toEqual([1, 1, 2, 2, 3, 3]);
    table.removeAll(members[1]!);
    const left = table.match("", "a").groups[0]!;
    expect(new Set(Array.from({ length: 4 }, () => left.next().subscriber.number))).toEqual(new Set([1, 3]));
  });

  it("tells interest when the first one wants a filter and when the last one has gone", () => {
    const { table, interest } = tableOf();
    const [a, b] = [subscriber(1), subscriber(2)];
    table.add(a, "x", 0);
    table.add(b, "$share/g/x", 0);
    table.add(a, "x", 1);
    table.remove(a, "x");
    expect(interest).toEqual(["+x"]);
    table.removeAll(b);
    expect(interest).toEqual(["+x", "-x"]);
    expect(table.remove(a, "x")).toBe(false);
    expect(table.size).toBe(0);
  });

  it("has a new generation after every change", () => {
    const { table } = tableOf();
    const a = subscriber(1);
    const seen = new Set([table.generation]);
    table.add(a, "x", 0);
    seen.add(table.generation);
    table.add(a, "x", 1);
    seen.add(table.generation);
    table.remove(a, "x");
    seen.add(table.generation);
    expect(seen.size).toBe(4);
  });
});
