import { execFile } from "node:child_process";
import { cpSync, mkdtempDisposableSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const BIN = join(ROOT, "node_modules/.bin");
const GENERATED = "packages/contract/src/generated";

/** Runs buf in `cwd`; what it complains about, or nothing. */
async function buf(cwd: string, ...args: string[]): Promise<string> {
  const run = promisify(execFile)(join(BIN, "buf"), args, {
    cwd,
    env: { PATH: `${BIN}:${dirname(process.execPath)}:/usr/bin:/bin`, HOME: cwd },
  });
  try {
    await run;
    return "";
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    return `${stdout}${stderr}` || String(error);
  }
}

const filesOf = (folder: string): Map<string, string> =>
  new Map(
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .map((path) => [path, readFileSync(join(folder, path), "utf8")]),
  );

describe("the contract in proto/", () => {
  it("keeps the rules of buf", async () => {
    expect(await buf(ROOT, "lint")).toBe("");
  });

  it("breaks no reader of the last accepted contract", async () => {
    expect(await buf(ROOT, "breaking", "proto", "--against", "proto/baseline.binpb")).toBe("");
  });

  it("would be refused with a field renumbered", async () => {
    using temp = mkdtempDisposableSync(join(tmpdir(), "myelin-proto-"));
    cpSync(join(ROOT, "proto"), join(temp.path, "proto"), { recursive: true });
    cpSync(join(ROOT, "buf.yaml"), join(temp.path, "buf.yaml"));
    const path = join(temp.path, "proto/myelin/mcp/v1/mcp.proto");
    const changed = readFileSync(path, "utf8").replace("bytes payload = 3;", "bytes payload = 300;");
    writeFileSync(path, changed);
    expect(
      await buf(temp.path, "breaking", "proto", "--against", join(ROOT, "proto/baseline.binpb")),
    ).toContain("payload");
  });

  it("is what the generated code was made of", async () => {
    using temp = mkdtempDisposableSync(join(tmpdir(), "myelin-proto-"));
    expect(await buf(ROOT, "generate", "--output", temp.path)).toBe("");
    expect(filesOf(join(ROOT, GENERATED))).toEqual(filesOf(join(temp.path, GENERATED)));
  });
});
