/** Hardware as the guide has it, on a box that runs: its first sample, from apply to the shadow. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { myelin, startBox, type TestBox } from "./support/box.js";

const GUIDE = fileURLToPath(new URL("../../../docs/how-to/hardware.md", import.meta.url));
const PATIENCE_MS = 60_000;

let box: TestBox;
beforeAll(async () => {
  box = await startBox();
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);

async function processes(): Promise<readonly string[]> {
  return (await box.state()).processes.map(({ name }) => name);
}

async function shadow(): Promise<{ state?: { reported?: Record<string, unknown> } }> {
  const { code, stdout } = await on("shadow", "get", "tank-1", "--json");
  return code === 0 ? (JSON.parse(stdout) as { state?: { reported?: Record<string, unknown> } }) : {};
}

it("is driven while a Bus asks for it: measured, seen in the shadow, in tail and in the books", async () => {
  expect(await processes()).not.toContain("hardware-agent");
  const [, sample = ""] = /^```yaml\n([\s\S]*?)^```/m.exec(await readFile(GUIDE, "utf8")) ?? [];
  const file = join(box.dataDir, "tank.yaml");
  await writeFile(file, sample);
  await waitFor(async () => (await on("apply", "-f", file)).code === 0, {
    what: "the resources to be taken",
    deadlineMs: PATIENCE_MS,
  });
  await waitFor(async () => (await shadow()).state?.reported?.pump === true, {
    what: "the first reading in the shadow",
    deadlineMs: PATIENCE_MS,
  });
  expect((await shadow()).state?.reported).toMatchObject({ level: expect.any(Number), pump: true });
  expect(await processes()).toContain("hardware-agent");

  const devices = JSON.parse((await on("devices", "get", "tank-1", "--json")).stdout) as object;
  expect(devices).toMatchObject({ profile: "tank", tags: { "edge-node": "local" } });

  const seen = await on("tail", "-d", "tank-1", "-n", "1", "--json");
  const { path, payload } = JSON.parse(seen.stdout) as { path: string; payload: readonly object[] };
  expect(path).toBe("devices/tank-1/samples");
  expect(payload[0]).toMatchObject({
    quality: "good",
    value: expect.anything(),
    latencyUs: expect.any(Number),
  });

  const sent = await on("command", "send", "tank-1", "set-pump", "on=false", "--wait", "verified", "--json");
  expect(sent).toMatchObject({ code: 0, stdout: expect.stringMatching(/"verified"/i) });
  await waitFor(async () => (await shadow()).state?.reported?.pump === false, {
    what: "the pump to be off in the shadow",
    deadlineMs: PATIENCE_MS,
  });

  const broken = join(box.dataDir, "broken.yaml");
  await writeFile(broken, sample.replace("bus: hall", "bus: cellar"));
  const refused = await on("apply", "-f", broken, "--dry-run");
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain('spec.bus: "cellar" must be a Bus of the node local');

  const { unaccounted } = JSON.parse((await on("ledger", "--json")).stdout) as { unaccounted: number };
  expect(unaccounted).toBe(0);

  expect((await on("delete", "bus", "hall")).code).toBe(0);
  await waitFor(async () => !(await processes()).includes("hardware-agent"), {
    what: "the agent to be stopped",
    deadlineMs: PATIENCE_MS,
  });
});
