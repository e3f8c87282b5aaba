import { describe, expect, it } from "vitest";
import { levelsOf } from "./case.js";
import { CASES } from "./cases/index.js";
import { MQTT_3 } from "./mqtt-3.table.js";
import { MQTT_5 } from "./mqtt-5.table.js";
import { conformancePage, uncovered } from "./page.js";

const ALL = Object.values(CASES).flat();

/** Section and number, so that the order of the standard can be compared. */
function place(id: string): number[] {
  const [, ...numbers] = /^MQTT-(\d+)\.(\d+)\.(\d+)-(\d+)$/.exec(id) ?? [];
  return numbers.map(Number);
}

const compare = (a: string, b: string): number => {
  const left = place(a);
  const right = place(b);
  return left.map((n, i) => n - right[i]!).find((difference) => difference !== 0) ?? 0;
};

describe.each([
  ["MQTT 3.1.1", MQTT_3, 141],
  ["MQTT 5", MQTT_5, 251],
])("the statements of %s", (_name, statements, count) => {
  const ids = Object.keys(statements);

  it("are as many as the standard's appendix lists", () => {
    expect(ids).toHaveLength(count);
  });

  it("have numbers of the standard's form, each once, in its order", () => {
    expect(ids.filter((id) => place(id).length !== 4)).toEqual([]);
    expect(ids).toEqual([...new Set(ids)].sort(compare));
  });

  it("are sentences", () => {
    for (const { says } of Object.values(statements)) expect(says).toMatch(/^[A-Z].*\.$/);
  });
});

describe("the cases", () => {
  it("cover every statement that a server can be held to, and no other", () => {
    expect(uncovered(ALL)).toEqual([]);
  });

  it("have titles of their own in each version", () => {
    const titles = ALL.flatMap((one) => levelsOf(one).map((level) => `${level} ${one.title}`));
    expect(titles.filter((title, i) => titles.indexOf(title) !== i)).toEqual([]);
  });
});

describe("the page", () => {
  it("calls a statement passed only when all its cases are", () => {
    const failed = ALL[0]!;
    const page = conformancePage(CASES, (one) =>
      one === failed ? "failed" : one.notYet === undefined ? "passed" : "not yet",
    );
    expect(page).toContain("**fail**");
    expect(page.match(/\| \*\*fail\*\* \|/g)).toHaveLength(
      failed.covers.v3!.length + failed.covers.v5!.length,
    );
  });
});
