/** Wills with a delay, of clients that come back by another listener than the one they were lost from (MQTT-3.1.3-9). */
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient } from "mqtt";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Ground, startGround } from "./ground.js";

let ground: Ground;
beforeAll(async () => {
  ground = await startGround();
});
afterAll(() => ground[Symbol.asyncDispose]());

function connected(listener: 0 | 1, clientId: string, delay: number, clean = false): Promise<MqttClient> {
  return connectAsync({
    ...{ port: ground.port(listener, "TCP"), clientId, clean, protocolVersion: 5, reconnectPeriod: 0 },
    properties: { sessionExpiryInterval: 600 },
    will: {
      ...{ topic: `gone/${clientId}`, payload: Buffer.from("gone"), qos: 1, retain: false },
      properties: { willDelayInterval: delay },
    },
  });
}

it("are forgotten when the client goes on there, published when it begins anew there, and when it stays away", async () => {
  const watcher = await connectAsync({ port: ground.port(0, "TCP"), clientId: "watcher" });
  const gone: string[] = [];
  watcher.on("message", (topic) => gone.push(topic));
  await watcher.subscribeAsync("gone/#", { qos: 1 });
  for (const id of ["lost", "taken", "anew", "taken-anew", "away"]) {
    const client = await connected(0, id, id.includes("anew") ? 500 : 2);
    if (!id.includes("taken")) client.stream.destroy();
  }
  const back = [
    await connected(1, "lost", 500),
    await connected(1, "taken", 500),
    await connected(1, "anew", 500, true),
    await connected(1, "taken-anew", 500, true),
  ];
  // The last to go and the only one that stays away: whatever is due after the same delay was due before.
  await waitFor(() => gone.length >= 3, { what: "the wills that are due", deadlineMs: 20_000 });
  expect(gone.sort()).toEqual(["gone/anew", "gone/away", "gone/taken-anew"]);
  for (const client of [watcher, ...back]) await client.endAsync();
}, 60_000);
