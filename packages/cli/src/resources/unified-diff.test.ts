import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { unifiedDiff } from "./unified-diff.js";

const names = { before: "a", after: "b" };

/** What `patch` does. */
function patched(before: string, diff: string): string {
  const lines = before === "" ? [] : before.replace(/\n$/, "").split("\n");
  const out: string[] = [];
  let at = 0;
  for (const line of diff.split("\n").slice(2, -1)) {
    const head = /^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@$/.exec(line);
    if (head !== null) {
      const start = Number(head[1]) - (head[2] === "0" ? 0 : 1);
      while (at < start) out.push(lines[at++] as string);
    } else if (line.startsWith("+")) out.push(line.slice(1));
    else {
      expect(line.slice(1)).toBe(lines[at]);
      if (line.startsWith(" ")) out.push(lines[at] as string);
      at++;
    }
  }
  out.push(...lines.slice(at));
  return out.map((line) => `${line}\n`).join("");
}

describe("a unified diff", () => {
  it("makes the one text of the other", () => {
    const text = fc
      .array(fc.constantFrom("a", "b", "c", ""), { maxLength: 30 })
      .map((lines) => lines.map((line) => `${line}\n`).join(""));
    fc.assert(
      fc.property(text, text, (before, after) => {
        const diff = unifiedDiff(before, after, names);
        expect(diff === "").toBe(before === after);
        if (diff !== "") expect(patched(before, diff)).toBe(after);
      }),
    );
  });

  it("looks as everybody knows it", () => {
    expect(unifiedDiff("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\n5\nsix\n", names)).toBe(
      "--- a\n+++ b\n@@ -3,4 +3,4 @@\n 3\n 4\n 5\n-6\n+six\n",
    );
    expect(unifiedDiff("", "1\n", names)).toBe("--- a\n+++ b\n@@ -0,0 +1 @@\n+1\n");
  });
});
