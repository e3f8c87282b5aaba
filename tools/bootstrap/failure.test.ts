import { expect, test } from "vitest";
import { explain, SetupFailure } from "./failure.mjs";

const errno = (code: string, message: string): Error => Object.assign(new Error(message), { code });

test.each([
  [errno("ENOSPC", "write"), /^The disk is full: the step failed; free some space/],
  ["npm error code ENOSPC\nnpm error syscall write", /^The disk is full/],
  [errno("EROFS", "mkdir '/x/.tools'"), /^The folder is read-only: the step failed/],
  [
    errno("EACCES", "permission denied, mkdir '/x/.tools'"),
    /^No permission to write \/x\/.tools: the step failed; make it/,
  ],
  [
    "npm error code ENOTFOUND\nnpm error network request failed",
    /^No network: the step failed; check the connection/,
  ],
  [new TypeError("fetch failed", { cause: errno("ECONNREFUSED", "connect") }), /^No network/],
  ["dial tcp: lookup proxy.golang.org: no such host", /^No network/],
  [
    "$ tool\nsome story\nError: ERR_PNPM_X the reason\nthe end",
    /^The step failed: ERR_PNPM_X the reason\. The whole output is in \/log\.$/,
  ],
  ["some story\nthe last words\n", /^The step failed: the last words\. /],
  ["", /^The step failed: it said nothing\. /],
])("makes one sentence with a remedy of %s", (reason, sentence) => {
  const { message } = explain("the step", reason, "/log");
  expect(message).toMatch(sentence);
  expect(message).not.toContain("\n");
});

test("keeps a sentence that was already made", () => {
  const failure = new SetupFailure("Do this.");
  expect(explain("the step", failure)).toBe(failure);
});
