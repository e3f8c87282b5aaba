import type { IDisconnectPacket } from "mqtt";
import { describe, expect, it } from "vitest";
import { startRig } from "../test/listener-rig.js";
import { connect, publish, World } from "./session-world.js";

describe("a listener that drains", () => {
  it("sends its MQTT 5 clients to another one, where their sessions go on, and closes the others' connections", async () => {
    await using world = await World.open();
    const second = await world.listener("listener-1");
    const serverReference = `127.0.0.1:${second.port("mqtt")}`;
    const ports = { mqtt: { mqtt: { serverReference } } };
    const first = world.stack.use(await startRig(ports, { nats: world.nats, instance: "listener-0" }));
    await world.dispatcher();

    await using reader = await connect(first, "reader", { protocolVersion: 5 });
    await reader.mqtt.subscribeAsync("plant/#", { qos: 1 });
    await using old = await connect(first, "old");
    let oldWasTold = false;
    old.mqtt.on("disconnect", () => {
      oldWasTold = true;
    });
    const told = new Promise<IDisconnectPacket>((resolve) => reader.mqtt.once("disconnect", resolve));
    const closed = new Promise<void>((resolve) => old.mqtt.once("close", () => resolve()));
    const drained = first[Symbol.asyncDispose]();
    expect(await told).toMatchObject({ reasonCode: 0x9c, properties: { serverReference } });
    await closed;
    expect(oldWasTold).toBe(false);

    await using writer = await connect(second, "writer");
    await publish(writer, 0, 5);
    // As a client does that takes the server's word for it.
    await using again = await connect(second, "reader", { protocolVersion: 5 });
    expect(again.sessionPresent).toBe(true);
    expect(await again.texts(5)).toEqual(["0", "1", "2", "3", "4"]);
    await drained;
  });
});
