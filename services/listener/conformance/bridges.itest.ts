import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { systemClock } from "@myelin/kernel";
import { requires, startMosquitto, tempDir, waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { OperationsClient } from "../src/core/operations-client.js";
import { BridgeWorld, Client } from "./bridge-world.js";

const to = (url: string, topics: string, more = ""): string =>
  `  remote: { mqtt: { url: "${url}" ${more} } }\n  reconnect: { min: 20ms, max: 200ms }\n  topics: ${topics}\n`;

const numbers = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => String(from + i));

const COUNT = 400;
/** Less than what brokers take without an acknowledgement. */
const AT_A_TIME = 15;

describe("a bridge to Mosquitto", requires.program("mosquitto"), () => {
  it.each(["5", "3.1.1"])("brings messages in with %s, below another prefix", async (version) => {
    await using broker = await startMosquitto();
    await using world = await BridgeWorld.open();
    await world.declare({
      b: to(
        broker.url,
        '[{ filter: "#", direction: in, qos: 2, remotePrefix: plant/, localPrefix: office/ }]',
        `, version: "${version}"`,
      ),
    });
    await world.up();
    const reader = await world.client("reader");
    await reader.mqtt.subscribeAsync("office/#", { qos: 2 });
    await using device = await Client.open(broker.port, "device", { protocolVersion: 5 });
    for (const qos of [0, 1, 2] as const) {
      await device.mqtt.publishAsync(`plant/a/${qos}`, `with ${qos}`, { qos, retain: qos === 1 });
    }
    await reader.have(3);
    expect(reader.got.map(({ topic, text, qos }) => `${topic} ${text} ${qos}`).sort()).toEqual([
      "office/a/0 with 0 0",
      "office/a/1 with 1 1",
      "office/a/2 with 2 2",
    ]);
    const seen = world.rigs[0]!.seen.find(({ path }) => path === "office/a/1")!;
    expect(seen).toMatchObject({ deviceId: "bridge/b", port: "b", retain: version === "5" });
  });

  it.each(["5", "3.1.1"])(
    "sends messages out with %s, and keeps them while the broker is away",
    async (version) => {
      await using broker = await startMosquitto();
      await using world = await BridgeWorld.open();
      await world.declare({
        b: to(
          broker.url,
          '[{ filter: "a/+", direction: out, qos: 2, localPrefix: here/, remotePrefix: plant/ }]',
          `, version: "${version}"`,
        ),
      });
      await world.up();
      await using reader = await Client.open(broker.port, "reader", { protocolVersion: 5 });
      await reader.mqtt.subscribeAsync("plant/#", { qos: 2 });
      const device = await world.client("device", { protocolVersion: 5 });
      for (const qos of [0, 1, 2] as const) {
        await device.mqtt.publishAsync(`here/a/${qos}`, `with ${qos}`, {
          qos,
          properties: { contentType: "x/y" },
        });
      }
      await reader.have(3);
      expect(reader.got.map(({ topic, text, qos }) => `${topic} ${text} ${qos}`).sort()).toEqual([
        "plant/a/0 with 0 0",
        "plant/a/1 with 1 1",
        "plant/a/2 with 2 2",
      ]);
      if (version === "5") expect(reader.got[1]!.packet.properties?.contentType).toBe("x/y");
      await broker.kill();
      await waitFor(() => world.rigs[0]!.listener.bridges.records()[0]!.state !== "connected", {
        what: "the loss",
      });
      for (const text of numbers(0, 100)) {
        await device.mqtt.publishAsync(`here/a/k${text}`, text, { qos: 2, retain: true });
      }
      await waitFor(async () => (await sessionOf(world)).queued === 100, { what: "a full outbox" });
      await broker.restart();
      await world.up();
      await waitFor(async () => (await sessionOf(world)).isEmpty, {
        what: "an empty outbox",
        deadlineMs: 20_000,
      });
      // The broker that was killed has forgotten its clients; what it keeps since then is what the bridge has brought.
      await using late = await Client.open(broker.port, "late");
      await late.mqtt.subscribeAsync("plant/a/+", { qos: 2 });
      expect((await late.have(100)).sort()).toEqual(numbers(0, 100).sort());
      expect(world.rigs[0]!.listener.bridges.records()[0]!.counters.messages.out).toBe(103);
    },
  );

  it.each([
    ["refuse", numbers(0, 50)],
    ["oldest", numbers(30, 50)],
  ])(
    "holds no more in its outbox than it may, and counts what goes when full: %s",
    async (whenFull, kept) => {
      await using broker = await startMosquitto();
      await using world = await BridgeWorld.open();
      await broker.kill();
      const bound = `  outbox: { maxMessages: 50, whenFull: ${whenFull} }\n`;
      await world.declare({ b: to(broker.url, '[{ filter: "a/+", direction: out }]') + bound });
      const record = () => world.rigs[0]!.listener.bridges.records()[0];
      await waitFor(() => record()?.state === "waiting", { what: "a failed try" });
      const device = await world.client("device");
      for (const text of numbers(0, 80)) {
        await device.mqtt.publishAsync(`a/${text}`, text, { qos: 1, retain: true });
      }
      const outbox = await waitFor(
        () => {
          const found = record()?.outbox;
          return found?.dropped === 30 ? found : undefined;
        },
        { what: "a full outbox in the books of the bridge", deadlineMs: 20_000 },
      );
      expect(outbox).toEqual({
        messages: 50,
        bytes: expect.any(Number),
        oldestAtMs: expect.any(Number),
        dropped: 30,
      });
      expect(outbox.bytes).toBeGreaterThan(50);
      expect(Math.abs(systemClock.wallMs() - outbox.oldestAtMs)).toBeLessThan(60_000);
      const series = 'myelin_listener_bridge_dropped_total{bridge="b",direction="out",reason="outbox_full"}';
      expect(await world.rigs[0]!.metric(series)).toBe(30);
      expect(await world.rigs[0]!.metric('myelin_listener_bridge_queued_bytes{bridge="b"}')).toBe(
        outbox.bytes,
      );
      expect(
        await world.rigs[0]!.metric('myelin_listener_bridge_queued_age_seconds{bridge="b"}'),
      ).toBeGreaterThan(0);

      await broker.restart();
      await world.up();
      await waitFor(async () => (await sessionOf(world)).isEmpty, {
        what: "an empty outbox",
        deadlineMs: 20_000,
      });
      await using late = await Client.open(broker.port, "late");
      await late.mqtt.subscribeAsync("a/+", { qos: 1 });
      expect((await late.have(50)).sort()).toEqual([...kept].sort());
    },
  );

  it("connects with user and password out of files, and tells in its status what is wrong with them", async () => {
    await using dir = await tempDir("bridge-secrets");
    await writeFile(dir.join("users"), "ann:placeholder\n");
    await promisify(execFile)("mosquitto_passwd", ["-b", dir.join("users"), "ann", "right"]);
    await using broker = await startMosquitto({
      config: `allow_anonymous false\npassword_file ${dir.join("users")}`,
    });
    await writeFile(dir.join("password"), "wrong\n");
    await using world = await BridgeWorld.open();
    const login = `, user: ann, password: { fromFile: ${dir.join("password")} }`;
    await world.declare({ b: to(broker.url, '[{ filter: "a", direction: in }]', login) });
    const record = () => world.rigs[0]!.listener.bridges.records()[0];
    await waitFor(() => record()?.lastError, { what: "a refusal", deadlineMs: 10_000 });
    expect(record()!.lastError!.message).toMatch(/refuses the bridge: .*ot authorized/);
    expect(JSON.stringify(record())).not.toContain("wrong");
    await writeFile(dir.join("password"), "right\n");
    await world.up();
  });

  it("takes up a changed declaration, and ends with its outbox when it is gone", async () => {
    await using broker = await startMosquitto();
    await using world = await BridgeWorld.open();
    await world.declare({ b: to(broker.url, '[{ filter: "a/#", direction: both }]') });
    await world.up();
    await world.declare({ b: to(broker.url, '[{ filter: "b/#", direction: both }]') });
    await using far = await Client.open(broker.port, "far");
    const near = await world.client("near");
    await near.mqtt.subscribeAsync("#", { qos: 1 });
    await waitFor(
      async () => {
        await far.mqtt.publishAsync("b/x", "new", { qos: 1 });
        return near.got.length > 0;
      },
      { what: "the new topics", deadlineMs: 10_000 },
    );
    await far.mqtt.publishAsync("a/x", "old", { qos: 1 });
    await far.mqtt.publishAsync("b/x", "last", { qos: 1 });
    await waitFor(() => near.got.some(({ text }) => text === "last"), { what: "the last message" });
    expect(near.got.map(({ topic }) => topic)).not.toContain("a/x");
    await world.declare({});
    await waitFor(async () => (await sessionOf(world)).exists === false, {
      what: "the end of the session",
      deadlineMs: 10_000,
    });
    expect(world.rigs[0]!.listener.bridges.records()).toEqual([]);
  });

  it("is taken over by another listener, and nothing that was acknowledged is lost or, with QoS 2, doubled", async () => {
    await using broker = await startMosquitto({ config: "max_queued_messages 0\nmax_inflight_messages 200" });
    await using world = await BridgeWorld.open(2);
    await world.declare({
      b: to(
        broker.url,
        '[{ filter: "in/#", direction: in, qos: 2 }, { filter: "out/#", direction: out, qos: 2 }]',
      ),
    });
    const first = await world.up();
    await using far = await Client.open(broker.port, "far");
    await far.mqtt.subscribeAsync("out/#", { qos: 2 });
    const at = world.rigs[1 - first]!.port("mqtt");
    await using near = await Client.open(at, "near", { clean: false });
    await near.mqtt.subscribeAsync("in/#", { qos: 2 });
    await using sender = await Client.open(at, "sender");
    const send = async ({ mqtt }: Client, topic: string): Promise<void> => {
      const texts = numbers(0, COUNT);
      while (texts.length > 0) {
        const some = texts.splice(0, AT_A_TIME);
        await Promise.all(some.map((text) => mqtt.publishAsync(topic, text, { qos: 2 })));
      }
    };
    const sending = Promise.all([send(far, "in/x"), send(sender, "out/x")]);
    await waitFor(() => near.got.length >= 30 && far.got.length >= 30, {
      what: "both directions",
      deadlineMs: 60_000,
    });
    await world.rigs[first]!.listener.stop();
    await sending;
    await Promise.all([near.have(COUNT, 60_000), far.have(COUNT, 60_000)]);
    expect(near.got.map(({ text }) => text)).toEqual(numbers(0, COUNT));
    expect(far.got.map(({ text }) => text)).toEqual(numbers(0, COUNT));
    expect(await world.up()).toBe(1 - first);
  });
});

describe("two deployments", () => {
  it.each([
    ["each sends the other everything", "out", 1],
    ["each exchanges everything with the other", "both", 2],
  ])("do not send messages round when %s", async (_, direction, copies) => {
    await using a = await BridgeWorld.open();
    await using b = await BridgeWorld.open();
    const url = ({ port }: BridgeWorld): string => `mqtt://127.0.0.1:${port}`;
    await a.declare({ b: to(url(b), `[{ filter: "#", direction: ${direction}, qos: 1 }]`) });
    await b.declare({ b: to(url(a), `[{ filter: "#", direction: ${direction}, qos: 1 }]`) });
    await Promise.all([a.up(), b.up()]);
    const [inA, inB] = [await a.client("in-a"), await b.client("in-b")];
    for (const { mqtt } of [inA, inB]) await mqtt.subscribeAsync("#", { qos: 1 });
    for (const text of numbers(0, 20)) await inA.mqtt.publishAsync("x", text, { qos: 1 });
    await inB.mqtt.publishAsync("y", "end", { qos: 1 });
    await waitFor(() => inA.got.some(({ text }) => text === "end"), {
      what: "the other direction",
      deadlineMs: 20_000,
    });
    await inB.have(20 * copies + 1);
    // Whatever still went round would have come before these, which take the same way.
    await inA.mqtt.publishAsync("z", "last", { qos: 1 });
    await waitFor(() => inB.got.filter(({ text }) => text === "last").length === copies, {
      what: "the last message",
    });
    expect(inB.got.filter(({ topic }) => topic === "x")).toHaveLength(20 * copies);
    expect(inA.got.filter(({ topic }) => topic === "x")).toHaveLength(20);
    expect(inA.got.filter(({ topic }) => topic === "y")).toHaveLength(copies);
  });
});

/** The outbox as its home tells it. */
async function sessionOf({ rigs }: BridgeWorld) {
  const { entries } = await new OperationsClient(rigs[0]!.bus, systemClock).sessions({ client: "bridge/b" });
  const queued = entries.reduce((sum, entry) => sum + entry.queued + entry.inflight, 0);
  return { exists: entries.length > 0, queued, isEmpty: entries.length > 0 && queued === 0 };
}
