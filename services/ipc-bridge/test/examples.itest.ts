import { fileURLToPath } from "node:url";
import { app, control, partitionOf, subjects } from "@myelin/contract";
import { startProcess, waitFor } from "@myelin/testkit";
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
