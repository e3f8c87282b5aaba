import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient } from "mqtt";
import { expect, test } from "vitest";
import { startCluster } from "./cluster.js";

interface Door {
  readonly ports: { readonly mqtt: number };
}

/** A client of MQTT 5 that does not come back by itself; its will is its name. */
async function client(door: Door, name: string, willDelayInterval?: number): Promise<MqttClient> {
  const will = { topic: `gone/${name}`, payload: Buffer.from(name), qos: 1 as const, retain: false };
  const made = await connectAsync(`mqtt://127.0.0.1:${door.ports.mqtt}`, {
    clientId: name,
    protocolVersion: 5,
    reconnectPeriod: 0,
    clean: false,
    properties: { sessionExpiryInterval: 300 },
    ...(willDelayInterval !== undefined && { will: { ...will, properties: { willDelayInterval } } }),
  });
  // The listener is killed: that is told here too.
  made.on("error", () => undefined);
  return made;
}

test.each([{ after: "stays away" }, { after: "is started again" }])(
  "the wills of a listener that is killed and $after come once, not before their delay, and not for clients that are back in time",
  async ({ after }) => {
    await using cluster = await startCluster();
    const [first, second] = cluster.listeners;
    if (first === undefined || second === undefined) throw new Error("two listeners were started");
    // What a listener has told of its clients is told to their next owner by itself, if it lives.
    await cluster.balanced();
    const watcher = await client(second, "watcher");
    const came = new Map<string, number>();
    const order: string[] = [];
    watcher.on("message", (topic) => {
      order.push(topic);
      came.set(topic, Date.now());
    });
    await watcher.subscribeAsync("gone/#", { qos: 1 });
    const clients = [watcher, await client(second, "unharmed", 0)];
    for (const [name, delay] of [
      ["at-once", 0],
      ["later", 9],
      ["back", 10],
      ["last", 13],
    ] as const) {
      clients.push(await client(first, name, delay));
    }
    const known = async () => (await cluster.figures("myelin_dispatcher_wills")).reduce((a, b) => a + b);
    await waitFor(async () => (await known()) === 5, { what: "all wills to be known", everyMs: 50 });
    const killedAt = Date.now();
    await first.process.kill("SIGKILL");
    clients.push(await client(second, "back"));
    if (after === "is started again") await first.process.start();

    await waitFor(() => came.has("gone/last"), { what: "the last will", deadlineMs: 60_000 });
    expect(order).toEqual(["gone/at-once", "gone/later", "gone/last"]);
    expect((came.get("gone/later") ?? 0) - killedAt).toBeGreaterThanOrEqual(9_000);
    expect((await cluster.settledLedger()).unaccounted).toBe(0);
    await Promise.all(clients.map((one) => one.endAsync(true)));
  },
  90_000,
);
