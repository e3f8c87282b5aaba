import { checkValue } from "@myelin/config";
import { encodeMcpFrame, MCP_MAGIC } from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { mqttRig } from "../../../test/mqtt-rig.js";
import { schema } from "./config.js";
import { UdpPort } from "./udp-port.js";

describe("a datagram from source port 0", () => {
  it.each([
    ["JSON", Buffer.from('{"device":"u1","path":"u/zero","payload":1}')],
    ["malformed JSON", Buffer.from(`{"device":1,"some":"${"padding ".repeat(20)}"}`)],
    ["a hello", encodeMcpFrame({ control: { kind: "hello", deviceId: "u-zero" } })],
    ["no frame", Buffer.concat([MCP_MAGIC, Buffer.alloc(100)])],
  ])("that holds %s is dropped and counted, for nobody can be answered", async (_, bytes) => {
    const { value } = checkValue(schema, { host: "127.0.0.1", port: 0 });
    const { clock, admission, manager: connections, ingress, sessions, metrics, events } = mqttRig();
    const shared = { clock, admission, connections, ingress, sessions, metrics };
    const port = new UdpPort(value, { ...shared, port: "zero", listen: true, log: silentLogger } as never);
    await port.start();
    port.onDatagram(bytes, { address: "127.0.0.1", port: 0, family: "IPv4", size: bytes.length });
    await port.stop();
    expect([...metrics.malformed.values]).toEqual([["udp,source_port", 1]]);
    expect([connections.size, events.taken.length]).toEqual([0, 0]);
  });
});
