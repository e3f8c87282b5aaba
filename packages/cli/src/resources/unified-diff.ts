/** Two texts as a unified diff, as `diff -u` and `patch` have it. */
import { diff } from "node:util";

type Sign = " " | "-" | "+";

interface Line {
  readonly sign: Sign;
  readonly text: string;
}

const CONTEXT = 3;

/** Empty when the texts are the same. Texts end with a line break or are empty. */
export function unifiedDiff(before: string, after: string, names: { before: string; after: string }): string {
  // Also because Node's diff fails on two empty lists.
  if (before === after) return "";
  const lines = deletionsFirst(compare(linesOf(before), linesOf(after)));
  const changed = lines.flatMap(({ sign }, i) => (sign === " " ? [] : [i]));
  const out = [`--- ${names.before}`, `+++ ${names.after}`];
  for (const [from, to] of hunks(changed, lines.length)) {
    const count = (list: readonly Line[], other: Sign): number =>
      list.filter(({ sign }) => sign !== other).length;
    const skipped = lines.slice(0, from);
    const body = lines.slice(from, to);
    out.push(`@@ -${range(skipped, body, "+")} +${range(skipped, body, "-")} @@`);
    out.push(...body.map(({ sign, text }) => sign + text));

    function range(earlier: readonly Line[], own: readonly Line[], without: Sign): string {
      const length = count(own, without);
      const start = count(earlier, without) + (length === 0 ? 0 : 1);
      return length === 1 ? `${start}` : `${start},${length}`;
    }
  }
  return `${out.join("\n")}\n`;
}

function linesOf(text: string): string[] {
  return text === "" ? [] : text.replace(/\n$/, "").split("\n");
}

function compare(before: string[], after: string[]): Line[] {
  // The library tells how the second becomes the first.
  return diff(after, before).map(([operation, text]) => ({
    sign: operation === 0 ? " " : operation > 0 ? "+" : "-",
    text,
  }));
}

function deletionsFirst(lines: readonly Line[]): Line[] {
  const out: Line[] = [];
  let added: Line[] = [];
  for (const line of lines) {
    if (line.sign === "+") added.push(line);
    else {
      if (line.sign === " ") {
        out.push(...added);
        added = [];
      }
      out.push(line);
    }
  }
  return [...out, ...added];
}

function hunks(changed: readonly number[], length: number): [from: number, to: number][] {
  const out: [number, number][] = [];
  for (const at of changed) {
    const from = Math.max(0, at - CONTEXT);
    const to = Math.min(length, at + CONTEXT + 1);
    const last = out.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = to;
    else out.push([from, to]);
  }
  return out;
}
