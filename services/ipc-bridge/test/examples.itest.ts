import { execFileSync } from "node:child_process";
import { mkdir, readFile, realpath, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { app, control, partitionOf, subjects } from "@myelin/contract";
import { startProcess, tempDir, waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PARTITIONS, startWorld, type TransportName, type World } from "./harness.js";

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const EXAMPLE = fileURLToPath(new URL("../../../packages/sdk-node/examples/ten-lines.mjs", import.meta.url));

describe.each<TransportName>(["grpc", "socket"])("the example of ten lines over %s", (transport) => {
  it("receives a reading and sends one back to the device", async () => {
    const device = `lamp-${transport}`;
    const sent: control.DownlinkRequest[] = [];
    world.owner.bus.serve(subjects.downlink(partitionOf("", device, PARTITIONS)), (data) => {
      sent.push(control.DownlinkRequest.decode(Buffer.from(data)));
      return control.DownlinkResult.encode({ state: app.SendState.WRITTEN, error: undefined }).finish();
    });
    await using example = await startProcess({
      command: process.execPath,
      args: [EXAMPLE, world.target(transport)],
      ready: { line: /connected to bridge-0/ },
    });
    const [instance] = await world.owner.waitFor("ten-lines");
    world.owner.deliver({ app: "ten-lines", instance: instance!.instance, device, payloads: ["20.5"] });
    await waitFor(() => sent.length === 1, { what: "the message for the device" });
    expect(sent[0]).toMatchObject({
      deviceId: device,
      path: "display/text",
      payload: Buffer.from("got 20.5"),
    });
    await waitFor(() => example.log().includes(`answer to ${device}: written`), {
      what: "the line about the answer",
    });
    await world.owner.waitForAck(instance!.instance, 1);
    await example.kill("SIGTERM");
    await world.owner.waitFor("ten-lines", 0);
  });
});

describe("the SDK as it is published", () => {
  it("runs the example in a folder that knows nothing of this workspace", async () => {
    await using folder = await tempDir("sdk");
    const modules = folder.join("node_modules");
    const sdk = join(modules, "@myelin", "sdk-node");
    execFileSync(process.execPath, [join(SDK, "scripts", "pack.mjs"), sdk]);
    const manifest = JSON.parse(await readFile(join(sdk, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    // What a registry would bring. Their own dependencies lie beside them, where the links lead.
    for (const name of Object.keys(manifest.dependencies)) {
      await mkdir(dirname(join(modules, name)), { recursive: true });
      await symlink(await installed(name), join(modules, name));
    }
    await using example = await startProcess({
      command: process.execPath,
      args: [join(sdk, "examples", "ten-lines.mjs"), world.target("grpc")],
      cwd: folder.path,
      ready: { line: /connected to bridge-0/ },
    });
    const [instance] = await world.owner.waitFor("ten-lines");
    world.owner.deliver({ app: "ten-lines", instance: instance!.instance, payloads: ["20.5"] });
    await waitFor(() => example.log().includes("devices/d1/reading 20.5"), { what: "the reading" });
    await example.kill("SIGTERM");
    await world.owner.waitFor("ten-lines", 0);
  });
});

const SDK = fileURLToPath(new URL("../../../packages/sdk-node", import.meta.url));

async function installed(name: string): Promise<string> {
  for (const user of ["sdk-node", "rpc", "contract"]) {
    const folder = await realpath(join(SDK, "..", user, "node_modules", name)).catch(() => undefined);
    if (folder !== undefined) return folder;
  }
  throw new Error(`${name} is not installed`);
}
