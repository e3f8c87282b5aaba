/** Commands as an operator gives them, on a box that runs. */
import { writeFile } from "node:fs/promises";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { myelin, startBox, type TestBox } from "./support/box.js";

let box: TestBox;
beforeAll(async () => {
  box = await startBox();
});
afterAll(async () => {
  await box[Symbol.asyncDispose]();
});

const on = (...args: string[]) => myelin([...args, "--data-dir", box.dataDir]);

const PROFILE = `
apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: pump }
spec:
  payloads: [{ format: json }]
  points: { speed: { from: { field: speed } } }
  commands:
    set: { risk: low, parameters: { speed: { type: number } }, safety: { parameter: speed, range: { max: 60 } } }
`;

it("sends, shows, lists and cancels commands, and says by its exit code what came of them", async () => {
  const file = `${box.dataDir}/pump.yaml`;
  await writeFile(file, PROFILE);
  expect(await on("apply", "-f", file)).toMatchObject({ code: 0 });
  const set = () => on("devices", "set", "p1", "--profile", "pump", "--group", "hall");
  await waitFor(async () => (await set()).code === 0, { what: "the registry", deadlineMs: 30_000 });
  const send = (...more: string[]) => on("command", "send", "p1", "set", ...more);
  await waitFor(async () => (await send("speed=1", "--ttl", "1s")).code === 0, {
    what: "the profile to be in force",
    deadlineMs: 30_000,
  });

  const made = JSON.parse((await send("speed=40", "--ttl", "5m", "--json")).stdout) as { id: string };
  expect((await on("command", "get", made.id)).stdout).toContain("ACCEPTED");
  expect((await on("command", "list", "p1")).stdout).toContain(made.id);
  expect(await on("command", "cancel", made.id)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("REJECTED  cancelled"),
  });
  expect(await on("command", "cancel", made.id)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("has ended"),
  });
  expect((await on("command", "watch", made.id)).stdout.trim().split("\n")).toHaveLength(2);

  expect(await send("speed=61")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("allowed is -Infinity to 60"),
  });
  expect(await send("speed=61", "--override", "drill", "--ttl", "200ms", "--wait", "executed")).toMatchObject(
    {
      code: 1,
      stdout: expect.stringContaining("EXPIRED  ttl"),
    },
  );
  const group = await on("command", "send", "--group", "hall", "set", "speed=3", "--ttl", "200ms");
  expect(group).toMatchObject({ code: 1, stdout: expect.stringContaining("p1: expired (ttl)") });

  expect(await on("audit", "verify")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("every link holds"),
  });
  const chains = (await on("audit", "verify", "--json")).stdout.trim().split("\n");
  expect(chains.map((line) => (JSON.parse(line) as { holds: boolean }).holds)).not.toContain(false);
});
