import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ShadowDocument } from "./document.js";
import { checkState, type JsonObject } from "./json.js";

const T = 1_700_000_000_000_000;

function updated(...changes: Parameters<ShadowDocument["update"]>[0][]): ShadowDocument {
  const document = new ShadowDocument();
  for (const change of changes) document.update(change, T);
  return document;
}

describe("a shadow", () => {
  it("merges objects, replaces lists and removes what is null", () => {
    const document = updated(
      { desired: { a: { b: 1, c: 2 }, l: [1, 2], x: true } },
      { desired: { a: { b: null, d: 4 }, l: [3], x: null } },
    );
    expect(document.state).toEqual({ desired: { a: { c: 2, d: 4 }, l: [3] } });
    expect(document.version).toBe(2);
  });

  it("puts a value in the place of an object and an object in the place of a value", () => {
    const document = updated({ desired: { a: { b: { c: 1 } }, x: 1 } }, { desired: { a: 5, x: { y: 2 } } });
    expect(document.state).toEqual({ desired: { a: 5, x: { y: 2 } } });
    expect(updated({ desired: { a: 5 } }, { desired: { a: {} } }).state).toEqual({ desired: { a: 5 } });
  });

  it("empties a state that is null, and replaces the desired one where that is asked", () => {
    expect(updated({ desired: { a: 1 }, reported: { b: 2 } }, { desired: null }).state).toEqual({
      reported: { b: 2 },
    });
    const replaced = updated({ desired: { a: 1, b: 2 } }, { desired: { b: 3 }, replaceDesired: true });
    expect(replaced.state).toEqual({ desired: { b: 3 } });
  });

  it("has what is desired and not reported as its delta", () => {
    const document = updated({
      desired: { a: 1, o: { p: 1, q: 2 }, l: [1, { x: 1 }], same: "s" },
      reported: { a: 2, o: { p: 1 }, l: [1, { x: 1 }], same: "s", more: 1 },
    });
    expect(document.delta()).toEqual({ a: 1, o: { q: 2 } });
    document.update({ reported: { a: 1, o: { q: 2 } } }, T);
    expect(document.delta()).toBeUndefined();
  });

  it("counts a measured value as reached where the tolerance says so", () => {
    const document = updated({ desired: { t: 21.5, u: 1 }, reported: { t: 21.4, u: 2 } });
    expect(document.delta(([key]) => key === "t")).toEqual({ u: 1 });
    expect(updated({ desired: { t: 1 } }).delta(() => true)).toEqual({ t: 1 });
  });

  it("refuses a change for another version and changes nothing", () => {
    const document = updated({ desired: { a: 1 } });
    const conflict = expect.objectContaining({ code: "shadow.version_conflict" });
    expect(() => document.update({ desired: { a: 2 }, version: 2 }, T)).toThrow(conflict);
    expect(() => document.delete(T, 0)).toThrow(conflict);
    expect(document.state).toEqual({ desired: { a: 1 } });
    document.update({ desired: { a: 2 }, version: 1 }, T);
    expect(document.version).toBe(2);
  });

  it("goes on with its version after it was deleted, and is version 0 to those who ask for none", () => {
    const document = updated({ desired: { a: 1 } });
    document.delete(T, 1);
    expect([document.isGone, document.state, document.version]).toEqual([true, {}, 2]);
    document.update({ reported: { b: 1 }, version: 0 }, T);
    expect([document.isGone, document.state, document.version]).toEqual([false, { reported: { b: 1 } }, 3]);
  });

  it("takes what is measured as one change, with the time of each point", () => {
    const document = updated({ reported: { t: { old: 1 } } });
    const points = new Map([
      ["t", { value: 21, timeUs: T + 1_000_000 }],
      ["h", { value: 40, timeUs: T + 2_000_000 }],
    ]);
    expect(document.measure(points)).toBe(true);
    expect(document.state).toEqual({ reported: { t: 21, h: 40 } });
    expect(document.metadata).toEqual({
      reported: { t: { timestamp: T / 1e6 + 1 }, h: { timestamp: T / 1e6 + 2 } },
    });
    expect(document.version).toBe(2);
  });

  it("has no more fields than are taken, whether they come at once or one by one", () => {
    const many = (from: number, count: number): JsonObject =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${from + i}`, 1]));
    const document = updated({ desired: many(0, 2_000) });
    const refused = expect.objectContaining({
      code: "shadow.invalid",
      details: { path: "state.desired", rule: "would have 2049 fields; 2048 are taken" },
    });
    expect(() => document.update({ desired: many(2_000, 49) }, T)).toThrow(refused);
    expect([document.version, document.desired.live]).toEqual([1, 2_000]);
    document.update({ desired: many(1_900, 148) }, T);
    expect(document.desired.live).toBe(2_048);
    document.update({ desired: { ...many(2_048, 1), k0: null } }, T);
    expect(document.desired.live).toBe(2_048);
  });
});

describe("the size of a shadow", () => {
  it("is bounded whatever it is made of, and what is replaced makes room", () => {
    const text = "x".repeat(30_000);
    const document = updated({ desired: { a: text }, reported: { b: text } });
    expect(() => document.update({ reported: { c: [text] } }, T)).toThrow(
      expect.objectContaining({ code: "shadow.too_large" }),
    );
    expect(document.version).toBe(1);
    document.update({ reported: { b: null, c: [text] } }, T);
    expect(document.state).toEqual({ desired: { a: text }, reported: { c: [text] } });
  });
});

describe("what a shadow may hold", () => {
  const deep = (levels: number): JsonObject => (levels === 0 ? { v: 1 } : { d: deep(levels - 1) });
  it.each([
    [[], "state.desired must be an object"],
    [{ a: { b: Number.POSITIVE_INFINITY } }, "state.desired.a.b is beyond the numbers that can be kept"],
    [{ a: JSON.parse("12345678901234567890") }, /a is a whole number beyond/],
    [{ a: [1, [null]] }, "state.desired.a[1][0] is null, which a list cannot hold"],
    [{ a: [{ b: "\ud800" }] }, "state.desired.a[0].b is text with half a character"],
    [JSON.parse('{"a":{"__proto__":1}}'), "state.desired.a has a field of the name __proto__"],
    [{ "": 1 }, "state.desired has a field without a name"],
    [{ "a\0b": 1 }, /control character/],
    [{ ["k".repeat(257)]: 1 }, /longer than 256 bytes/],
    [deep(8), /state\.desired\.d\.d\.d\.d\.d\.d\.d\.d is deeper than 8 levels/],
    [{ a: [[[[[[[[1]]]]]]]] }, /is deeper than 8 levels/],
    [
      Object.fromEntries(Array.from({ length: 2_049 }, (_, i) => [`k${i}`, 1])),
      /has too many fields; 2048 are taken/,
    ],
  ])("is checked with path and rule: case %#", (state, message) => {
    expect(() => checkState(state, "state.desired")).toThrow(
      expect.objectContaining({
        code: "shadow.invalid",
        message: typeof message === "string" ? message : expect.stringMatching(message),
      }),
    );
  });

  it("is anything else", () => {
    checkState({ a: null, b: [1, "x", { c: true }], n: 1e300, d: deep(6) }, "state.desired");
  });
});

const key = fc.constantFrom("a", "b", "c");
const leaf = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constant(null), fc.constantFrom([1], [2, "x"]));
const tree: fc.Arbitrary<JsonObject> = fc.letrec((tie) => ({
  tree: fc.dictionary(key, fc.oneof({ depthSize: "small" }, leaf, tie("tree")), { maxKeys: 3 }),
})).tree as fc.Arbitrary<JsonObject>;

type Step =
  | { readonly at: "hub" | "edge"; readonly half: "desired" | "reported"; readonly patch: JsonObject }
  | { readonly at: "hub" | "edge"; readonly take: number }
  | { readonly at: "hub" | "edge"; readonly remove: true };
const at = fc.constantFrom("hub" as const, "edge" as const);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ at, half: fc.constantFrom("desired", "reported"), patch: tree }) },
  { weight: 3, arbitrary: fc.record({ at, take: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ at, remove: fc.constant(true as const) }) },
) as fc.Arbitrary<Step>;

function copyOf(document: ShadowDocument): ShadowDocument {
  const copy = new ShadowDocument(document.site);
  for (const [half, path, field] of document.since({ hub: -1, edge: -1 }))
    copy[half].merge(path, { ...field });
  copy.seen = document.seen;
  copy.version = document.version;
  return copy;
}

function shown(document: ShadowDocument): unknown {
  const fields = (half: "desired" | "reported") =>
    [...document[half].fields].filter(([, { value }]) => value !== undefined).sort();
  return [document.state, fields("desired"), fields("reported")];
}

describe("two writers of a shadow", () => {
  it("come to the same state, in whatever order what they wrote comes, once or more often", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 24 }), fc.infiniteStream(fc.nat()), (steps, random) => {
        const own = { hub: new ShadowDocument("hub"), edge: new ShadowDocument("edge") };
        own.hub.isShared = true;
        const sent = { hub: [] as ShadowDocument[], edge: [] as ShadowDocument[] };
        for (const one of steps) {
          const document = own[one.at];
          const others = sent[one.at === "hub" ? "edge" : "hub"];
          if ("take" in one) {
            const taken = others[one.take];
            if (taken !== undefined) document.merge(taken);
          } else {
            if ("remove" in one) document.delete(T, undefined);
            else document.update({ [one.half]: one.patch }, T);
            sent[one.at].push(copyOf(document));
          }
        }
        const all = [...sent.hub, ...sent.edge];
        const shuffled = all
          .map((document) => [random.next().value as number, document] as const)
          .sort(([a], [b]) => a - b)
          .map(([, document]) => document);
        for (const document of [...all].reverse()) own.hub.merge(document);
        for (const document of [...shuffled, ...shuffled]) own.edge.merge(document);
        expect(shown(own.edge)).toEqual(shown(own.hub));
      }),
      { numRuns: 1_000 },
    );
  });

  function pair(): { hub: ShadowDocument; edge: ShadowDocument } {
    const hub = updated({ desired: { t: 1 }, reported: { t: 1 } });
    const edge = new ShadowDocument("edge");
    edge.merge(hub);
    hub.isShared = true;
    return { hub, edge };
  }

  it("let the hub win what is desired and the device what is reported, and tell of it", () => {
    const { hub, edge } = pair();
    hub.update({ desired: { t: 2 }, reported: { t: 20 } }, T);
    edge.update({ desired: { t: 3 }, reported: { t: 30 } }, T);
    const { conflicts } = hub.merge(edge);
    edge.merge(hub);
    for (const document of [hub, edge])
      expect(document.state).toEqual({ desired: { t: 2 }, reported: { t: 30 } });
    expect(conflicts).toEqual([
      { state: "desired", path: "t", kept: 2, lost: 3, site: "hub" },
      { state: "reported", path: "t", kept: 30, lost: 20, site: "edge" },
    ]);
  });

  it("let a later write win whoever made it, also where it removes", () => {
    const { hub, edge } = pair();
    hub.update({ desired: { t: 2 } }, T);
    edge.merge(hub);
    edge.update({ desired: { t: null } }, T);
    expect(hub.merge(edge).conflicts).toEqual([]);
    expect(hub.state).toEqual({ reported: { t: 1 } });
    expect(hub.desired.fields.size).toBe(1);
    hub.prune(edge.seen);
    expect(hub.desired.fields.size).toBe(0);
  });

  it("send no more than what the other one lacks", () => {
    const { hub, edge } = pair();
    hub.update({ desired: { u: 7 } }, T);
    expect([...hub.since(edge.seen)].map(([half, path]) => `${half}.${path}`)).toEqual(["desired.u"]);
  });
});
