/** Holds the code of the how-to guides to what the repository asks of its own: it type-checks, and format and lint have no wish. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./sources.js";

const CODE = /^`((?:services|packages)\/[\w./-]+\.ts)`\n\n```ts\n([\s\S]*?)^```/gm;
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
const BIOME = join(ROOT, "node_modules/@biomejs/biome/bin/biome");

const codeOf = (guide: string): { path: string; code: string }[] =>
  [...readFileSync(join(ROOT, guide), "utf8").matchAll(CODE)].map(([, path = "", code = ""]) => ({
    path,
    code,
  }));

const run = (args: readonly string[], input = "") =>
  spawnSync(process.execPath, args, { cwd: ROOT, input, encoding: "utf8", timeout: 60_000 });

const guides = ["docs/how-to/add-a-protocol.md", "docs/how-to/add-a-target.md"];

test.each(guides)("the code of %s passes format and lint as it stands", (guide) => {
  const files = codeOf(guide);
  expect(files.length).toBeGreaterThan(1);
  for (const { path, code } of files) {
    const { status, stdout, stderr } = run([BIOME, "check", "--write", `--stdin-file-path=${path}`], code);
    expect({ path, status, stderr, code: stdout }).toMatchObject({ path, status: 0, code });
  }
});

test.each(guides)("the code of %s type-checks as it stands", (guide) => {
  const files = codeOf(guide);
  const [, service = ""] = /^(services\/\w+)\//.exec(files[0]?.path ?? "") ?? [];
  // Below the service, so that its dependencies are found; in dist, so that nothing else looks at it.
  const folder = join(ROOT, service, "dist", "guide-types");
  rmSync(folder, { recursive: true, force: true });
  for (const { path, code } of files) {
    const file = join(folder, posix.relative(service, path));
    const own = (target: string): boolean => files.some((one) => one.path === target.replace(/\.js$/, ".ts"));
    const moved = code.replace(/(from |import\()"(\.[^"]+)"/g, (all, how: string, to: string) => {
      const target = posix.join(posix.dirname(path), to);
      return own(target) ? all : `${how}"${join(ROOT, target)}"`;
    });
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, moved);
  }
  const config = {
    extends: join(ROOT, "tsconfig.test.json"),
    include: ["**/*.ts"],
    exclude: [],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const { status, stdout } = run([TSC, "-p", folder, "--noEmit", "--pretty", "false"]);
  const complaints = stdout.split("\n").filter((line) => /\berror TS/.test(line));
  // What it imports is checked elsewhere; errors of the configuration itself name no file.
  const elsewhere = (line: string): boolean => /^[^(]+\.ts\(/.test(line) && !line.includes("/guide-types/");
  expect(complaints.filter((line) => !elsewhere(line))).toEqual([]);
  expect(status === 0 || complaints.length > 0).toBe(true);
});
