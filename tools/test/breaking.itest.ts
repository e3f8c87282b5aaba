import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { tempDir } from "@myelin/testkit";
import { expect, test } from "vitest";
import { ROOT } from "../bootstrap/paths.mjs";
import { checkBreaking, complaint, contractBase } from "./breaking.mjs";

const BUF = join(ROOT, "node_modules/.bin/buf");
const PATH = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;
const WHO = ["-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];

/** A repository with a contract of its own. */
class Repository {
  readonly #root: string;
  constructor(root: string) {
    this.#root = root;
    this.git("init", "-q", "-b", "main");
    writeFileSync(
      join(root, "buf.yaml"),
      "version: v2\nmodules:\n  - path: proto\nbreaking:\n  use: [WIRE_JSON]\n",
    );
    mkdirSync(join(root, "proto/toy/v1"), { recursive: true });
  }
  git(...args: string[]): string {
    return execFileSync("git", ["-C", this.#root, ...WHO, ...args], { encoding: "utf8" }).trim();
  }
  field(number: number): this {
    const text = `syntax = "proto3";\npackage toy.v1;\nmessage Toy {\n  string name = ${number};\n}\n`;
    writeFileSync(join(this.#root, "proto/toy/v1/toy.proto"), text);
    return this;
  }
  commit(): string {
    this.git("add", "-A");
    this.git("commit", "-q", "--allow-empty", "-m", "change");
    return this.git("rev-parse", "HEAD");
  }
  check() {
    const compare = (against: string) =>
      complaint(BUF, ["breaking", "--against", against], {
        cwd: this.#root,
        env: { PATH, HOME: this.#root },
      });
    return checkBreaking(this.#root, compare);
  }
}

test("compares with the commit before, and sees a break that is already committed", async () => {
  await using dir = await tempDir("breaking");
  const repository = new Repository(dir.path);
  const first = repository.field(1).commit();
  repository.field(2).commit();
  const { complaint: what, note } = await repository.check();
  expect(what).toContain("toy.proto");
  expect(note).toBe(`compared with the commit before, ${first.slice(0, 12)}, for want of a release`);
  repository.field(1);
  expect((await repository.check()).complaint).toBeUndefined();
});

test("compares with the last release once there is one, and never with the commit itself", async () => {
  await using dir = await tempDir("breaking");
  const repository = new Repository(dir.path);
  const released = repository.field(1).commit();
  repository.git("tag", "v1.0.0");
  repository.field(2).commit();
  repository.commit();
  expect(await contractBase(dir.path)).toEqual({ commit: released, name: "release v1.0.0" });
  expect((await repository.check()).complaint).toContain("toy.proto");
  repository.git("tag", "v2.0.0");
  expect(await contractBase(dir.path)).toEqual({ commit: released, name: "release v1.0.0" });
  repository.git("tag", "nightly");
  const next = repository.commit();
  expect(next).not.toBe(released);
  expect((await contractBase(dir.path)).name).toBe("release v2.0.0");
});

test("says that it takes the accepted contract where there is no earlier commit", async () => {
  await using dir = await tempDir("breaking");
  const repository = new Repository(dir.path);
  repository.field(1).commit();
  expect((await repository.check()).note).toContain("proto/baseline.binpb, for want of an earlier commit");
});

test("complains when the earlier commit had no contract", async () => {
  await using dir = await tempDir("breaking");
  const repository = new Repository(dir.path);
  repository.git("rm", "-rq", "--cached", "--ignore-unmatch", ".");
  repository.git("commit", "-q", "--allow-empty", "-m", "nothing yet");
  repository.field(1).commit();
  expect((await repository.check()).complaint).toContain("there is nothing to compare with");
});
