import { control, subjects } from "@myelin/contract";
import { McpClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { downlink, PARTITIONS, type Rig, startRig } from "../../../test/listener-rig.js";
import { startDatagramRelay, startStreamRelay } from "../../../test/mcp-relay.js";

let rig: Rig;
let other: Rig;
/** As the owners of the partitions know it: where each device is. */
const present = new Map<string, string>();
const PORTS = { tcp: { frames: {} }, udp: { grams: {} }, websocket: { sockets: {} } };

beforeAll(async () => {
  rig = await startRig(PORTS);
  other = await startRig(PORTS, { nats: rig.nats, instance: "listener-1" });
  for (let p = 0; p < PARTITIONS; p++) {
    rig.bus.subscribe(subjects.presence(p), (data) => {
      const { listener, changes } = control.PresenceBatch.decode(data);
      for (const { deviceId, online } of changes) {
        if (online) present.set(deviceId, listener);
        else if (present.get(deviceId) === listener) present.delete(deviceId);
      }
    });
  }
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const CARRIERS = [
  ["TCP", "frames", (port: number) => `tcp://127.0.0.1:${port}`, startStreamRelay],
  ["WebSocket", "sockets", (port: number, id: string) => websocket(port, id), startStreamRelay],
  ["UDP", "grams", (port: number) => `udp://127.0.0.1:${port}`, startDatagramRelay],
] as const;
const websocket = (port: number, id: string): string => `ws://127.0.0.1:${port}/api/v1/devices/${id}/ws`;

describe.each(CARRIERS)("the SDK's MCP client over %s", (carrier, port, urlOf, startRelay) => {
  it.each([
    ["the same listener", () => rig],
    ["another listener", () => other],
  ])("resumes on %s: nothing acknowledged is lost, only the rest is sent again", async (where, second) => {
    const id = `${carrier}-${where.replaceAll(" ", "-")}`;
    const path = `resume/${id}`;
    await using relay = await startRelay(rig.port(port));
    const client = new McpClient({
      url: urlOf(relay.port, id),
      deviceId: id,
      backoff: { initialMs: 10, maxMs: 100 },
      // Over datagrams only a missed pong tells that the listener is gone.
      heartbeatMs: 250,
      pongTimeoutMs: 1_000,
      missedPongs: 1,
      retransmitMs: 60_000,
    });
    const got: string[] = [];
    const states: string[] = [];
    client.onMessage(async ({ type }) => void got.push(type));
    client.onState((state) => states.push(state));
    await client.start(AbortSignal.timeout(10_000));
    const send = (n: number): Promise<void> => client.send(path, String(n), { lane: "event" });
    try {
      await waitFor(() => present.get(id) === "listener-0", { what: "the presence" });
      await Promise.all([1, 2, 3].map(send));
      expect(await downlink(rig, id, { path: "down/a", payload: "", wait: true })).toMatchObject({
        code: undefined,
      });

      // Stored, but the device does not hear of it; the device has not heard of this message either.
      relay.down = false;
      const unheard = [4, 5, 6].map(send);
      await rig.messages(path, 6);
      await downlink(rig, id, { path: "down/b", payload: "" });
      // Never arrived.
      relay.up = false;
      const unsent = [7, 8].map(send);
      expect(client.unacknowledged).toBe(5);
      relay.target = second().port(port);
      relay.cut();
      relay.up = relay.down = true;
      await waitFor(() => states.includes("reconnecting"), { what: "the lost connection" });

      await Promise.all([...unheard, ...unsent]);
      await waitFor(() => got.length === 2, { what: "the message that was not acknowledged" });
      await downlink(second(), id, { path: "down/c", payload: "", wait: true });
      expect(got).toEqual(["down/a", "down/b", "down/c"]);
      await waitFor(() => present.get(id) === second().bus.instance, { what: "the new presence" });
      const seen = await rig.messages(path, 8);
      const times = Object.groupBy(seen, ({ text }) => text);
      const count = (n: number): number | undefined => times[n]?.length;
      expect([1, 2, 3, 7, 8].map(count)).toEqual([1, 1, 1, 1, 1]);
      // What is sent again has its id, by which the partition's owner knows it.
      expect(new Set(seen.map((message) => Buffer.from(message.id).toString("hex"))).size).toBe(8);
      if (carrier !== "UDP") expect([4, 5, 6].map(count)).toEqual([1, 1, 1]);
    } finally {
      await client.stop();
    }
    await waitFor(() => !present.has(id), { what: "the end of its presence" });
  });
});
