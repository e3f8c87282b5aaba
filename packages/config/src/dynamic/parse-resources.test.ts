import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseResources } from "./parse-resources.js";

const GOOD = `apiVersion: myelin.dev/v1alpha1
kind: Route
metadata: { name: boiler-room }
spec:
  order: 10
  match: { topics: ["plant/+/temperature"], devices: ["boiler-*"] }
  targets:
    - app: climate
`;

/** The rules that a text breaks, with their lines; nothing for a text that is accepted. */
async function complaints(text: string): Promise<string[]> {
  const { documents, problems } = await parseResources(text, "a.yaml");
  return [...problems, ...documents.flatMap((document) => document.problems)].map(
    ({ line, path, rule }) => `${line} ${path} ${rule}`,
  );
}

const laughs = [
  "a: &a [x, x, x, x, x, x, x, x, x]",
  ..."bcdefghij".split("").map((name, i) => {
    const before = "abcdefghij"[i];
    return `${name}: &${name} [${Array(9).fill(`*${before}`).join(", ")}]`;
  }),
].join("\n");

describe("the text of a resource file", () => {
  it("is accepted as it should be written", async () => {
    expect(await complaints(GOOD)).toEqual([]);
  });

  it.each([
    ["no YAML", "a: [1", /YAML: Flow sequence/],
    ["a doubled key", `${GOOD}spec: {}\n`, /YAML: Map keys must be unique/],
    ["a tab for indentation", "spec:\n\torder: 1\n", /YAML: /],
    ["an unknown alias", "kind: *nothing\n", /YAML: (Unresolved|Aliased) /],
    ["an unknown tag", "kind: !!js/function x\n", /YAML: Unresolved tag/],
    ["a number", "7\n", /kind one of/],
    ["a list", "- 1\n", /kind one of/],
    ["text", "hello\n", /kind one of/],
    ["another kind", "kind: Pod\n", /kind one of/],
    ["a kind from the prototype", "kind: toString\n", /kind one of/],
    ["a kind that is no text", "kind: { a: 1 }\n", /kind one of/],
    ["NUL bytes", "\0\0\0", /./],
    ["a billion laughs", laughs, /YAML: Excessive alias count/],
    ["a value within itself", "kind: Route\nspec: &a\n  match: *a\n", /YAML: Nested/],
    ["a list within itself", "&a [*a]\n", /YAML: Nested/],
    ["a hundred levels of list", `kind: Route\nspec: ${"[".repeat(100)}${"]".repeat(100)}\n`, /YAML: Nested/],
    ["ten thousand levels of list", `a: ${"[".repeat(10_000)}${"]".repeat(10_000)}\n`, /YAML: /],
    ["a hundred thousand levels", "[".repeat(100_000), /./],
    ["a hundred thousand dashes", "- ".repeat(100_000), /./],
    ["a hundred thousand maps", "{a: ".repeat(100_000), /./],
  ])("with %s is refused with a reason", async (_what, text, reason) => {
    const found = await complaints(text);
    expect(found.join("\n")).toMatch(reason);
    expect(found.length).toBeLessThan(200);
  });

  it("is refused alone when another document of the file is good", async () => {
    const { documents } = await parseResources(`${GOOD}---\nkind: Pod\n`, "a.yaml");
    expect(documents.map(({ resource }) => resource !== undefined)).toEqual([true, false]);
  });

  it("never makes it throw, whatever it is, and what is accepted has a name and a kind", async () => {
    const pieces = fc.constantFrom(
      ..."{}[]:,-&*!|>'\"%@#?\n\t ".split(""),
      ...["kind: Route", "---\n", "&a", "*a", "!!binary", "<<: *a", "spec:", "0x1F", "~", "\u2028", "\ud800"],
    );
    const soup = fc.array(fc.oneof(pieces, fc.string({ maxLength: 5 })), { maxLength: 60 });
    const mutated = fc
      .tuple(fc.nat(GOOD.length), fc.nat(20), fc.oneof(pieces, fc.string({ unit: "binary", maxLength: 8 })))
      .map(([at, cut, put]) => GOOD.slice(0, at) + put + GOOD.slice(at + cut));
    const texts = fc.oneof(
      soup.map((parts) => parts.join("")),
      mutated,
    );
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const { documents } = await parseResources(text, "a.yaml");
        for (const { resource, kind, name, problems } of documents) {
          if (resource === undefined) expect(problems.length).toBeGreaterThan(0);
          else expect({ kind: "Route", name: expect.stringMatching(/^[a-z0-9]/) }).toEqual({ kind, name });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
