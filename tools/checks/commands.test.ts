import { existsSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, test } from "vitest";
import { brokenCommands, type Runnable } from "./commands.js";
import { listFiles, listFolders, ROOT } from "./sources.js";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** The generated page of the command line, which a test of its own holds to the program. */
function verbs(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const part of read("docs/reference/command-line.md").split(/^## /m)) {
    const verb = /^myelin ([a-z-]+)\n/.exec(part)?.[1];
    if (verb === undefined) continue;
    const rows = [...part.matchAll(/^\| `([^`]+)`/gm)].map(([, cell = ""]) => cell);
    found.set(verb, [...rows.flatMap((cell) => cell.match(/--?[a-z][a-z-]*/g) ?? []), "--help"]);
  }
  for (const service of ["listener", "dispatcher", "ipc-bridge", "hardware-agent"]) {
    found.set(service, ["--config", "--check-config", "--print-config", "--help"]);
  }
  return found.set("complete", []);
}

const runnable: Runnable = {
  scripts: Object.keys((JSON.parse(read("package.json")) as { scripts: object }).scripts),
  packages: [...["packages", "services"].flatMap(listFolders), "tools"],
  verbs: verbs(),
  exists: (path) => existsSync(join(ROOT, path)),
};

test("every command in our documents exists", () => {
  // Decisions tell of their time, and the reference of commands is what the others are held to.
  const documents = listFiles(
    (path) => posix.extname(path) === ".md" && !/^docs\/(adr\/|reference\/command-line)/.test(path),
  );
  expect(documents.length).toBeGreaterThan(20);
  expect(documents.flatMap((path) => brokenCommands(path, read(path), runnable))).toEqual([]);
});

describe("the check of commands", () => {
  const there: Runnable = {
    scripts: ["start", "test", "bench"],
    packages: ["listener"],
    verbs: new Map([["tail", ["--rate", "-d"]]]),
    exists: (path) => path === "services/listener/src",
  };
  const wrong = (text: string) => brokenCommands("a.md", text, there).join();
  const block = (line: string) => `\`\`\`sh\n${line}\n\`\`\`\n`;

  test.each([
    "npm start -- --port-offset 7",
    "npm test -- listener -u",
    "npm test -- services/listener/src",
    "npm test -- PACKAGE",
    "npm run --silent bench -- telemetry",
    "./bin/myelin tail -d 'boiler-*' --rate 5 | head",
    "myelin VERB",
    "curl localhost:8080",
  ])("lets %s be", (line) => {
    expect(wrong(`${block(line)}\`${line}\``)).toBe("");
  });

  test.each([
    ["npm run fly", "there is no script fly"],
    ["npm test -- lissener", "there is no package or path lissener"],
    ["pnpm vitest run x", "pnpm need not be on the reader's machine"],
    ["./bin/myelin tell", "there is no verb tell"],
    ["echo 1 | ./bin/myelin tail \\\n  --fast 7   # quickly", "tail has no option --fast"],
    ["FOO=1 npm run fly", "there is no script fly"],
  ])("finds %s", (line, complaint) => {
    expect(wrong(block(line))).toContain(complaint);
  });

  test("reads inline code, and no other blocks", () => {
    expect(wrong("run `npm run fly`")).toContain("no script fly");
    expect(wrong("```ts\nnpm run fly\n```\n")).toBe("");
  });
});
