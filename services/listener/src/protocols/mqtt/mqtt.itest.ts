import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { connect as connectSocket, type Socket } from "node:net";
import { promisify } from "node:util";
import {
  app,
  BatchBuilder,
  control,
  createChannel,
  Kind,
  Lane,
  Protocol,
  Stamp,
  subjects,
} from "@myelin/contract";
import { freePort, requires, startNats, tempDir, waitFor } from "@myelin/testkit";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import mqttPacket from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { downlink, type Rig, startRig } from "../../../test/listener-rig.js";
import { hashPassword } from "../../core/password.js";

const run = promisify(execFile);

const rigOf = (settings: object = {}, options: object = {}): Promise<Rig> =>
  startRig({ mqtt: { mqtt: settings } }, options);

async function client(rig: Rig, more: IClientOptions = {}): Promise<MqttClient & AsyncDisposable> {
  const made = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, {
    reconnectPeriod: 0,
    connectTimeout: 5_000,
    ...more,
  });
  // A server that closes is part of these tests.
  made.on("error", () => {});
  return Object.assign(made, { [Symbol.asyncDispose]: () => made.endAsync(true) });
}

function raw(rig: Rig): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(rig.port("mqtt"), "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on("error", () => {});
    socket.once("close", () => resolve());
    socket.resume();
  });

/** What a dispatcher does for a listener's subscribers. */
function dispatcherOf(rig: Rig) {
  const filters = new Set<string>();
  rig.bus.subscribe(subjects.interest(), (data) => {
    const batch = control.InterestBatch.decode(data);
    if (batch.reset) filters.clear();
    for (const filter of batch.added) filters.add(filter);
    for (const filter of batch.removed) filters.delete(filter);
  });
  const builders = new Map<Lane, BatchBuilder>();
  let channels = 0;
  return {
    filters,
    send(path: string, payload: string, lane: Lane = Lane.TELEMETRY): void {
      let builder = builders.get(lane);
      if (builder === undefined) {
        builder = new BatchBuilder(
          {
            sender: "core",
            incarnation: 1,
            partition: 0,
            lane,
            target: "listener",
            targetInstance: rig.bus.instance,
          },
          new Stamp(Buffer.alloc(10)),
        );
        builders.set(lane, builder);
      }
      const head = {
        tenant: "",
        deviceId: "somebody",
        path,
        kind: Kind.TELEMETRY,
        protocol: Protocol.MQTT,
        contentType: "",
        port: "",
        profile: "",
      };
      builder.append(createChannel(++channels, head, 0), Buffer.from(payload), 0, payload.length);
      rig.bus.publish(subjects.listenerDeliver(rig.bus.instance), builder.finish()!);
    },
  };
}

describe("a stock client", () => {
  it.each([4, 5] as const)(
    "of version %i publishes with every QoS, and is acknowledged after storage",
    async (version) => {
      await using rig = await rigOf();
      await using made = await client(rig, { protocolVersion: version, clientId: `device-${version}` });
      await made.publishAsync("site/a", "zero", { qos: 0 });
      await made.publishAsync("site/a", "one", { qos: 1 });
      await made.publishAsync("site/a", "two", { qos: 2 });
      const seen = await rig.messages("site/a", 3);
      expect(
        seen.map(({ lane, text, deviceId, qos }) => `${lane} ${text} ${deviceId} ${qos}`).sort(),
      ).toEqual([
        `event one device-${version} 0`,
        `event two device-${version} 2`,
        `telemetry zero device-${version} 0`,
      ]);
    },
  );

  it("keeps the order of what it sends, in each lane", async () => {
    await using rig = await rigOf();
    await using made = await client(rig);
    const sent = Array.from({ length: 2_000 }, (_, i) => `${i}`);
    await Promise.all(sent.map((text) => made.publishAsync("o", text, { qos: 1 })));
    for (const text of sent) made.publish("o0", text);
    const events = await rig.messages("o", sent.length);
    const telemetry = await rig.messages("o0", sent.length);
    expect(events.map(({ text }) => text)).toEqual(sent);
    expect(telemetry.map(({ text }) => text)).toEqual(sent);
  });

  it("sends and receives what is as large as allowed, and is cut off for more", async () => {
    await using rig = await rigOf({ maxPacketSize: "256KiB" });
    await using made = await client(rig, { protocolVersion: 5 });
    const fits = "x".repeat(255 * 1024);
    await made.publishAsync("big", fits, { qos: 1 });
    expect((await rig.messages("big", 1))[0]!.text).toBe(fits);
    const gone = new Promise((resolve) => made.once("disconnect", (packet) => resolve(packet.reasonCode)));
    made.publish("big", "x".repeat(257 * 1024));
    expect(await gone).toBe(0x95);
  });

  it("subscribes and is sent what the dispatcher forwards", async () => {
    await using rig = await rigOf();
    const dispatcher = dispatcherOf(rig);
    await using made = await client(rig, { protocolVersion: 5 });
    const got: string[] = [];
    made.on("message", (topic, payload, packet) => got.push(`${topic} ${payload} ${packet.qos}`));
    await made.subscribeAsync({ "plant/+/temp": { qos: 1 } });
    await waitFor(() => dispatcher.filters.has("plant/+/temp"), { what: "interest" });
    dispatcher.send("plant/1/temp", "20");
    dispatcher.send("plant/1/other", "21");
    dispatcher.send("plant/2/temp", "22", Lane.EVENT);
    await waitFor(() => got.length === 2, { what: "two messages" });
    expect(got.sort()).toEqual(["plant/1/temp 20 0", "plant/2/temp 22 1"]);
    await made.unsubscribeAsync("plant/+/temp");
    await waitFor(() => dispatcher.filters.size === 0, { what: "no interest" });
  });

  it("is sent a message that is meant for its device, and acknowledges it", async () => {
    await using rig = await rigOf();
    await using made = await client(rig, { clientId: "valve" });
    const send = (wait: boolean) =>
      downlink(rig, "valve", { path: "devices/valve/commands/open", payload: "1", wait });
    expect(await send(false)).toMatchObject({ code: "device.not_subscribed" });
    await made.subscribeAsync("devices/valve/commands/+", { qos: 1 });
    const got = new Promise((resolve) =>
      made.once("message", (topic, payload) => resolve(`${topic} ${payload}`)),
    );
    expect(await send(true)).toMatchObject({ state: app.SendState.ACKNOWLEDGED });
    expect(await got).toBe("devices/valve/commands/open 1");
    expect(await downlink(rig, "nobody", { path: "p", payload: "x" })).toMatchObject({
      code: "device.not_connected",
    });
  });
});

describe("mosquitto's clients", requires.program("mosquitto_pub"), () => {
  it.each([
    ["mqttv31", "0"],
    ["mqttv311", "1"],
    ["mqttv5", "2"],
  ])("publish in version %s with QoS %s", async (version, qos) => {
    await using rig = await rigOf();
    const args = [
      "-p",
      `${rig.port("mqtt")}`,
      "-V",
      version,
      "-q",
      qos,
      "-i",
      "m",
      "-t",
      "a/b",
      "-m",
      "hello",
    ];
    await run("mosquitto_pub", args);
    expect((await rig.messages("a/b", 1))[0]).toMatchObject({
      text: "hello",
      deviceId: "m",
      lane: qos === "0" ? "telemetry" : "event",
    });
  });

  it("subscribe and receive", async () => {
    await using rig = await rigOf();
    const dispatcher = dispatcherOf(rig);
    const subscriber = run("mosquitto_sub", [
      "-p",
      `${rig.port("mqtt")}`,
      "-t",
      "t/#",
      "-q",
      "1",
      "-C",
      "2",
      "-v",
    ]);
    await waitFor(() => dispatcher.filters.has("t/#"), { what: "interest" });
    dispatcher.send("t/1", "a");
    await waitFor(
      () => rig.listener.ledger.snapshot().accounts.some((a) => a.hop === "deliver" && a.forwarded > 0),
      {
        what: "the first delivery",
      },
    );
    dispatcher.send("t/2", "b", Lane.EVENT);
    expect((await subscriber).stdout).toBe("t/1 a\nt/2 b\n");
  });
});

describe("several listeners", () => {
  it("share a port", async () => {
    await using nats = await startNats();
    const port = await freePort();
    await using one = await rigOf({ port }, { nats, instance: "listener-0" });
    await using two = await rigOf({ port }, { nats, instance: "listener-1" });
    const clients = await Promise.all(Array.from({ length: 64 }, () => client(one)));
    const sizes = [one, two].map((rig) => rig.listener.connections.size);
    expect(sizes[0]! + sizes[1]!).toBe(64);
    expect(Math.min(...sizes)).toBeGreaterThan(0);
    await Promise.all(clients.map((made) => made.endAsync(true)));
  });

  it("let one hold a device: the newer connection takes it over", async () => {
    await using nats = await startNats();
    await using one = await rigOf({}, { nats, instance: "listener-0" });
    await using two = await rigOf({}, { nats, instance: "listener-1" });
    await using older = await client(one, { clientId: "d", protocolVersion: 5 });
    const told = new Promise((resolve) => older.once("disconnect", (packet) => resolve(packet.reasonCode)));
    await using newer = await client(two, { clientId: "d", protocolVersion: 5 });
    expect(await told).toBe(0x8e);
    await newer.publishAsync("still/here", "1", { qos: 1 });
  });
});

describe("SUBACK", () => {
  it("waits until the dispatchers know the filter: what is published on another listener then is sent to the subscriber", async () => {
    await using nats = await startNats();
    await using one = await rigOf({}, { nats, instance: "listener-0" });
    await using two = await rigOf({}, { nats, instance: "listener-1" });
    const held: control.InterestBatch[] = [];
    const confirm = ({ incarnation, sequence }: control.InterestBatch): void => {
      const receipt = { dispatcher: "core", incarnation, sequence };
      two.bus.publish(
        subjects.interestApplied("listener-0"),
        control.InterestApplied.encode(receipt).finish(),
      );
    };
    // A dispatcher that takes its time.
    two.bus.subscribe(subjects.interest(), (data) => {
      const batch = control.InterestBatch.decode(data);
      if (batch.listener !== "listener-0") return;
      if (batch.added.length > 0) held.push(batch);
      else confirm(batch);
    });
    two.bus.publish(subjects.interestSync("listener-0"), new Uint8Array());
    const confirmed = new Promise((resolve) =>
      one.bus.subscribe(subjects.interestApplied("listener-0"), resolve),
    );
    await confirmed;
    const socket = await raw(one);
    const packets: string[] = [];
    const parser = mqttPacket.parser({ protocolVersion: 4 });
    parser.on("packet", ({ cmd }) => packets.push(cmd));
    socket.on("data", (data) => parser.parse(data));
    socket.write(
      Buffer.concat([
        mqttPacket.generate({
          cmd: "connect",
          protocolId: "MQTT",
          protocolVersion: 4,
          clean: true,
          clientId: "s",
          keepalive: 0,
        }),
        mqttPacket.generate({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 0 }] }),
        mqttPacket.generate({ cmd: "pingreq" }),
      ]),
    );
    await waitFor(() => packets.length === 2, { what: "what comes before SUBACK" });
    expect(packets).toEqual(["connack", "pingresp"]);
    await waitFor(() => held.length === 1, { what: "the batch with the filter" });
    confirm(held[0]!);
    await waitFor(() => packets.length === 3, { what: "SUBACK" });
    expect(packets.at(-1)).toBe("suback");
    socket.destroy();
  });
});

describe("NATS away", () => {
  it("acknowledges no event until it is back, keeps the devices, and loses no event", async () => {
    await using nats = await startNats();
    await using rig = await rigOf({}, { nats });
    await using made = await client(rig, { clientId: "d" });
    await made.publishAsync("e", "before", { qos: 1 });
    await nats.kill();
    await waitFor(() => !rig.bus.connected, { what: "the loss of NATS" });
    let stored = false;
    const during = made.publishAsync("e", "during", { qos: 1 }).then(() => {
      stored = true;
    });
    // A round trip behind it: the listener has it and has not acknowledged it.
    await new Promise<void>((resolve) => {
      made.once("packetreceive", (packet) => packet.cmd === "pingresp" && resolve());
      made.sendPing();
    });
    expect(stored).toBe(false);
    await nats.restart();
    await during;
    expect(made.connected).toBe(true);
    const texts = (await rig.messages("e", 2)).map(({ text }) => text);
    expect(new Set(texts)).toEqual(new Set(["before", "during"]));
  });
});

describe("users and rules in files", () => {
  it("decide who connects and where they publish, and are followed while they change", async () => {
    await using dir = await tempDir("admission");
    const [usersFile, aclFile] = [dir.join("users.yaml"), dir.join("acl.yaml")];
    await writeFile(
      usersFile,
      `users:\n  - name: ann\n    password: ${await hashPassword(Buffer.from("secret"))}\n`,
    );
    await writeFile(aclFile, "rules:\n  - { effect: allow, users: [ann], topics: [own/%d/#] }\n");
    await using rig = await rigOf(
      {},
      { admission: { "static-file": { usersFile, aclFile, anonymous: "nobody" } } },
    );
    await expect(client(rig, { username: "ann", password: "wrong" })).rejects.toMatchObject({ code: 4 });
    await expect(client(rig)).rejects.toMatchObject({ code: 4 });
    await using ann = await client(rig, {
      username: "ann",
      password: "secret",
      clientId: "d",
      protocolVersion: 5,
    });
    const attempt = (topic: string): Promise<number> =>
      ann.publishAsync(topic, "x", { qos: 1 }).then(
        () => 0,
        (error: { code: number }) => error.code,
      );
    expect([await attempt("own/d/x"), await attempt("own/e/x")]).toEqual([0, 0x87]);
    await writeFile(aclFile, "rules:\n  - { effect: allow, usres: [ann] }\n");
    await waitFor(() => rig.listener.condition?.().state === "degraded", {
      what: "the refusal of the broken edit",
    });
    expect([await attempt("own/d/x"), await attempt("own/e/x")]).toEqual([0, 0x87]);
    await writeFile(aclFile, "rules:\n  - { effect: allow, users: [ann], topics: [own/e/#] }\n");
    await waitFor(async () => (await attempt("own/e/x")) === 0, { what: "the new rule" });
    expect(await attempt("own/d/x")).toBe(0x87);
    expect(rig.listener.condition?.().state).toBe("running");
  });

  it("that are broken keep the listener from starting", async () => {
    await using nats = await startNats();
    await using dir = await tempDir("admission");
    const aclFile = dir.join("acl.yaml");
    await writeFile(aclFile, "rules: 7\n");
    await expect(rigOf({}, { nats, admission: { "static-file": { aclFile } } })).rejects.toMatchObject({
      code: "config.invalid",
    });
  });
});

describe("unfriendly clients", () => {
  it("that never say CONNECT are closed in time, however slowly they speak", async () => {
    await using rig = await rigOf({ connectTimeout: "1s" });
    await using neighbour = await client(rig);
    const silent = await raw(rig);
    const slow = await raw(rig);
    const drip = setInterval(() => slow.write(Buffer.of(0x10)), 100);
    slow.write(Buffer.from("10ff7f", "hex"));
    await Promise.all([closed(silent), closed(slow)]);
    clearInterval(drip);
    await neighbour.publishAsync("n", "fine", { qos: 1 });
    const { disconnects } = rig.listener.connections.counters;
    await waitFor(() => disconnects.mqtt?.first_packet === 2, { what: "the count" });
  });

  it("that speak something else are closed at once", async () => {
    await using rig = await rigOf();
    const http = await raw(rig);
    http.write("GET / HTTP/1.1\r\n\r\n");
    await closed(http);
    const { disconnects } = rig.listener.connections.counters;
    await waitFor(() => disconnects.mqtt?.violation === 1, { what: "the count" });
  });

  it("that are gone without a word leave their will and their presence ends", async () => {
    await using rig = await rigOf();
    const changes: control.PresenceChange[] = [];
    for (let p = 0; p < 2; p++) {
      rig.bus.subscribe(subjects.presence(p), (data) =>
        changes.push(...control.PresenceBatch.decode(data).changes),
      );
    }
    const made = await client(rig, {
      clientId: "d",
      will: { topic: "dead", payload: Buffer.from("d"), qos: 1, retain: false },
    });
    (made.stream as Socket).resetAndDestroy();
    expect((await rig.messages("dead", 1))[0]!.text).toBe("d");
    await waitFor(() => changes.length === 2, { what: "both changes" });
    expect(changes.map(({ deviceId, online, reason }) => [deviceId, online, reason])).toEqual([
      ["d", true, ""],
      ["d", false, "lost"],
    ]);
    expect(rig.listener.connections.disconnects.get("", "d")).toMatchObject({ reason: "lost" });
  });
});

describe("a stop", () => {
  it("acknowledges what was stored, says goodbye in the terms of MQTT 5, and leaves nothing open", async () => {
    const rig = await rigOf();
    await using made = await client(rig, { protocolVersion: 5 });
    const told = new Promise((resolve) => made.once("disconnect", (packet) => resolve(packet.reasonCode)));
    const published = made.publishAsync("last", "1", { qos: 1 });
    await waitFor(() => rig.seen.length === 1, { what: "the message on its way" });
    const port = rig.port("mqtt");
    await rig[Symbol.asyncDispose]();
    await published;
    expect(await told).toBe(0x8b);
    const probe = connectSocket(port, "127.0.0.1");
    const refused = await new Promise((resolve) =>
      probe.once("error", (e: NodeJS.ErrnoException) => resolve(e.code)),
    );
    expect(refused).toBe("ECONNREFUSED");
    expect(rig.listener.connections.size).toBe(0);
  });
});
