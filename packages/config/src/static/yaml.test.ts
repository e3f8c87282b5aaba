import { describe, expect, it } from "vitest";
import { formatYaml, parseYaml, withoutPaths } from "./yaml.js";

describe("a document without some of its parts", () => {
  const text = "# kept\na:\n  b: 1 # kept too\n  c: 2\nstatus: { x: 1 }\n";

  it("keeps its comments", async () => {
    const out = await withoutPaths(text, [["status"], ["a", "c"], ["not", "there"]]);
    expect(out).toBe("# kept\na:\n  b: 1 # kept too\n");
  });

  it("stays as it is, to the byte, when it has none of them", async () => {
    const odd = "a:   [1,\n 2]   # odd\n\n\n";
    expect(await withoutPaths(odd, [["status"], ["a", "b"]])).toBe(odd);
  });
});

describe("a value as YAML", () => {
  it("reads back as itself, long lines, text that looks like a number and shared parts included", async () => {
    const shared = { n: 1 };
    const value = { a: "x ".repeat(200), b: "007", c: "no", d: [shared, shared], e: "two\nlines\n" };
    const text = await formatYaml(value);
    expect(text).not.toMatch(/[&*]a1/);
    expect((await parseYaml(text)).documents[0]?.value).toEqual(value);
  });
});
