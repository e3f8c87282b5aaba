/** Whether proto/ still serves whoever was built against an earlier one. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask } from "../bootstrap/run-tool.mjs";

/** The accepted contract as bytes, for a checkout without history. */
const BASELINE = "proto/baseline.binpb";

/**
 * What to compare with: the last release before this commit, else the commit's first parent (a merge's main line), else the
 * accepted contract that lies in the repository. Never the commit itself, which breaks nothing by definition.
 * @param {string} root
 * @returns {Promise<{ commit: string | undefined, name: string }>} `name` is for the reader
 */
export async function contractBase(root) {
  const git = (/** @type {string[]} */ ...args) => ask("git", ["-C", root, ...args]);
  const parent = await git("rev-parse", "--verify", "--quiet", "HEAD^1");
  if (parent === undefined)
    return {
      commit: undefined,
      name: `${BASELINE}, for want of an earlier commit (no history, or a shallow one)`,
    };
  const tag = await git("describe", "--tags", "--abbrev=0", "--first-parent", "--match", "v[0-9]*", parent);
  const release = tag && (await git("rev-parse", "--verify", "--quiet", `${tag}^{commit}`));
  return release
    ? { commit: release, name: `release ${tag}` }
    : { commit: parent, name: `the commit before, ${parent.slice(0, 12)}, for want of a release` };
}

/**
 * @param {string} root
 * @param {(against: string) => Promise<string | undefined>} compare runs buf; resolves to what it complains about
 * @returns {Promise<{ complaint: string | undefined, note: string }>}
 */
export async function checkBreaking(root, compare) {
  const { commit, name } = await contractBase(root);
  const note = `compared with ${name}`;
  if (commit === undefined) return { complaint: await compare(BASELINE), note };
  const folder = mkdtempSync(join(tmpdir(), "myelin-contract-"));
  try {
    // An archive rather than the repository itself: also a linked working tree can make one.
    const archive = join(folder, "base.tar");
    const failure = await complaint("git", [
      "-C",
      root,
      "archive",
      "-o",
      archive,
      commit,
      "proto",
      "buf.yaml",
    ]);
    if (failure !== undefined) return { complaint: `there is nothing to compare with: ${failure}`, note };
    return { complaint: await compare(archive), note };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs a program to its end.
 * @param {string} command @param {readonly string[]} args
 * @param {import("node:child_process").SpawnOptions} [options]
 * @returns {Promise<string | undefined>} what it wrote when it failed
 */
export function complaint(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
      });
    }
    child.once("error", reject);
    child.once("close", (code) => resolve(code === 0 ? undefined : text.trim() || `ended with code ${code}`));
  });
}
