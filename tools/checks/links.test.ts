import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { brokenLinks } from "./links.js";
import { listFiles, ROOT } from "./sources.js";

const lookup = (path: string): string | undefined => {
  if (!existsSync(join(ROOT, path))) return undefined;
  return path.endsWith(".md") ? readFileSync(join(ROOT, path), "utf8") : "";
};

test("every link between our documents leads somewhere", () => {
  const documents = listFiles((path) => path.endsWith(".md"));
  expect(documents.flatMap((path) => brokenLinks(path, lookup(path) ?? "", lookup))).toEqual([]);
});

describe("the check of links", () => {
  const files: Record<string, string> = {
    "docs/a.md": "# Title\n\n## Where do I add…?\n\n## Same\n\n## Same\n\n```\n# no heading\n```\n",
    "docs/picture.svg": "",
  };
  const broken = (text: string) => brokenLinks("docs/b.md", text, (path) => files[path]);

  test.each([
    "[a](a.md)",
    "[a](./a.md#title)",
    "[a](a.md#where-do-i-add)",
    "[a](a.md#same-1)",
    '![p](picture.svg "a picture")',
    "[web](https://example.org/x) and [mail](mailto:a@example.org)",
    "`[code](nowhere.md)`",
    "```md\n[code](nowhere.md)\n```",
  ])("accepts %j", (text) => {
    expect(broken(text)).toEqual([]);
  });

  test.each([
    ["[a](c.md)", "docs/b.md links to c.md, which does not exist"],
    ["[a](../a.md)", "docs/b.md links to ../a.md, which does not exist"],
    ["[a](a.md#no-heading)", "docs/b.md links to a.md#no-heading, which has no such heading"],
    ["[a]: c.md", "docs/b.md links to c.md, which does not exist"],
    ['<img src="none.svg">', "docs/b.md links to none.svg, which does not exist"],
  ])("finds %j broken", (text, complaint) => {
    expect(broken(text)).toEqual([complaint]);
  });
});
