import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tempDir } from "@myelin/testkit";
import { expect, test } from "vitest";
import { denyDaemons } from "./debian.mjs";

test("denies daemons for as long as it is wanted and leaves no trace", async () => {
  await using dir = await tempDir("policy");
  const file = dir.join("policy-rc.d");
  const restore = denyDaemons(file);
  expect(readFileSync(file, "utf8")).toContain("exit 101");
  expect(statSync(file).mode & 0o111).not.toBe(0);
  restore();
  restore();
  expect(existsSync(file)).toBe(false);
});

test("puts the policy of the machine back, also after a run that was killed", async () => {
  await using dir = await tempDir("policy");
  const file = dir.join("policy-rc.d");
  writeFileSync(file, "#!/bin/sh\nexit 0\n");
  chmodSync(file, 0o755);
  denyDaemons(file);
  const restore = denyDaemons(file);
  expect(readFileSync(file, "utf8")).toContain("exit 101");
  restore();
  expect(readFileSync(file, "utf8")).toBe("#!/bin/sh\nexit 0\n");
});

test("removes what a killed run left on a machine without a policy", async () => {
  await using dir = await tempDir("policy");
  const file = dir.join("policy-rc.d");
  denyDaemons(file);
  denyDaemons(file)();
  expect(existsSync(file)).toBe(false);
});
