/** Stores that are full, and clients that are not let in: what publishers are told, what is counted, and that nothing acknowledged is lost. */
import { waitFor } from "@myelin/testkit";
import { connectAsync, type IClientPublishOptions, type MqttClient } from "mqtt";
import { describe, expect, it } from "vitest";
import { type Ground, startGround, USER } from "./ground.js";

/** MQTT 5, 3.4.2.1 and 3.5.2.1: an implementation or administrative limit has been exceeded. */
const QUOTA_EXCEEDED = 0x97;
const DEADLINE = { deadlineMs: 40_000 };
const MIB = 1024 * 1024;

const client = (ground: Ground, clientId: string, protocolVersion: 4 | 5 = 5): Promise<MqttClient> =>
  connectAsync({ port: ground.port(0, "TCP"), clientId, protocolVersion, reconnectPeriod: 0 });

/** The reason of the refusal; 0: it was acknowledged. */
const publish = (
  sender: MqttClient,
  topic: string,
  payload: string,
  options: IClientPublishOptions,
): Promise<number | undefined> =>
  sender.publishAsync(topic, payload, options).then(
    () => 0,
    ({ code }: { code?: number }) => code,
  );

const isWithin = (some: ReadonlySet<string>, all: ReadonlySet<string>): boolean =>
  [...some].every((one) => all.has(one));

const dropped = (ground: Ground, reason: string): Promise<number> =>
  ground.metric(0, `myelin_listener_ingress_dropped_total{lane="event",reason="${reason}"`);

describe("a store that is full", () => {
  it("of events refuses QoS 1, QoS 2 and retained messages with quota exceeded, counts them, and loses nothing it has acknowledged", async () => {
    await using ground = await startGround({ streams: { unrouted: { maxBytes: 4 * MIB } } });
    const subscriber = await client(ground, "subscriber");
    const got: string[] = [];
    subscriber.on("message", (_topic, payload) => got.push(String(payload)));
    await subscriber.subscribeAsync("plant/#", { qos: 2 });
    const sender = await client(ground, "sender");
    const ways = [{ qos: 1 }, { qos: 2 }, { qos: 1, retain: true }, { qos: 2, retain: true }] as const;
    const acknowledged = new Set<string>();
    const refusals = ways.map(() => 0);
    let number = 0;
    // What nobody wants fills its stream, which closes that of events.
    await waitFor(
      async () => {
        await publish(sender, "nobody", "x".repeat(200_000), { qos: 1 });
        for (const [i, way] of ways.entries()) {
          const text = `${i} ${number++}`;
          const reason = await publish(sender, `plant/${i}`, text, way);
          if (reason === 0) acknowledged.add(text);
          else {
            expect(reason).toBe(QUOTA_EXCEEDED);
            refusals[i]! += 1;
          }
        }
        return refusals.every((count) => count > 0);
      },
      { what: "a refusal of each way to publish", everyMs: 0, ...DEADLINE },
    );
    expect(await dropped(ground, "bus.stream_full")).toBeGreaterThanOrEqual(4);
    await waitFor(() => isWithin(acknowledged, new Set(got)), {
      what: "what was acknowledged",
      ...DEADLINE,
    });
    const ofQos2 = got.filter((text) => text.startsWith("1 ") || text.startsWith("3 "));
    expect(new Set(ofQos2).size).toBe(ofQos2.length);
    for (const one of [subscriber, sender]) await one.endAsync(true);
  }, 90_000);

  it("of retained messages refuses new ones in the terms of each version, counts them, serves every one it has acknowledged, and takes more when some were cleared", async () => {
    await using ground = await startGround({ dispatcher: { retained: { messages: 40 } } });
    const sender = await client(ground, "sender");
    const acknowledged = new Set<string>();
    const refusals = [0, 0];
    let number = 0;
    await waitFor(
      async () => {
        for (const qos of [1, 2] as const) {
          const topic = `plant/${number++}`;
          const reason = await publish(sender, topic, "x", { qos, retain: true });
          if (reason === 0) acknowledged.add(topic);
          else {
            expect(reason).toBe(QUOTA_EXCEEDED);
            refusals[qos - 1]! += 1;
          }
        }
        return refusals.every((count) => count > 0);
      },
      { what: "a refusal of QoS 1 and 2", everyMs: 20, ...DEADLINE },
    );
    expect(await dropped(ground, "retained_full")).toBe(refusals[0]! + refusals[1]!);
    expect(acknowledged.size).toBeGreaterThan(20);
    // Without RETAIN there is nothing to keep.
    expect(await publish(sender, "plant/live", "x", { qos: 1 })).toBe(0);

    // Before MQTT 5 the only way to say no is to close (3.1.1, 3.3.5.2).
    const old = await client(ground, "old", 4);
    const closed = new Promise<void>((resolve) => old.once("close", () => resolve()));
    old.publish("plant/old", "x", { qos: 1, retain: true }, () => undefined);
    await closed;
    expect(await dropped(ground, "retained_full")).toBe(refusals[0]! + refusals[1]! + 1);

    // A few of those that were acknowledged before it was known wait for room in the event stream.
    const found = new Set<string>();
    const look = async (): Promise<void> => {
      const answer = await fetch(`${ground.api(1)}/admin/retained?filter=plant/%2B&limit=1000`);
      for (const { topic } of ((await answer.json()) as { retained: { topic: string }[] }).retained)
        found.add(topic);
    };
    const isKept = async (): Promise<boolean> => {
      await look();
      return found.size > 20;
    };
    await waitFor(isKept, { what: "what is kept", ...DEADLINE });
    await fetch(`${ground.api(1)}/admin/retained?filter=plant/%2B`, { method: "DELETE" });
    await waitFor(
      async () => {
        await look();
        return isWithin(acknowledged, found);
      },
      { what: "every one that was acknowledged", ...DEADLINE },
    );
    await waitFor(async () => (await publish(sender, "plant/new", "x", { qos: 2, retain: true })) === 0, {
      what: "room for a new one",
      ...DEADLINE,
    });
    await sender.endAsync(true);
  }, 120_000);
});

it("counts clients that are not let in, by reason", async () => {
  await using ground = await startGround();
  const count = (code: string): Promise<number> =>
    ground.metric(0, `myelin_listener_connects_refused_total{protocol="mqtt",code="${code}"`);
  const { name: username } = USER;
  const answers: (number | undefined)[] = [];
  for (const protocolVersion of [4, 5] as const) {
    for (const password of ["wrong", "wronger"]) {
      const refused = connectAsync({
        ...{ port: ground.port(0, "TCP"), clientId: "a", protocolVersion, reconnectPeriod: 0 },
        ...{ username, password },
      });
      answers.push(
        await refused.then(
          () => 0,
          ({ code }: { code?: number }) => code,
        ),
      );
    }
  }
  expect(answers).toEqual([4, 4, 0x86, 0x86]);
  expect(await count("auth.bad_credentials")).toBe(4);
  const port = ground.port(0, "TCP");
  const good = await connectAsync({ port, username, password: USER.password, clientId: "a" });
  await good.endAsync();
  expect(await count("auth.bad_credentials")).toBe(4);
});
