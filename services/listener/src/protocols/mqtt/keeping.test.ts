import { AppError } from "@myelin/kernel";
import type { IPublishPacket, ISubackPacket, Packet } from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { connectPacket, type MqttClient, type MqttRig, mqttRig } from "../../../test/mqtt-rig.js";
import type {
  IncomingPublish,
  KeptFilter,
  KeptSession,
  SessionHolder,
  SessionHomes,
  SessionRequest,
} from "../../core/session-home.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";

/** A home that answers when it is told to, and writes down what it hears. */
class Home implements SessionHomes {
  readonly heard: string[] = [];
  present = false;
  filters: KeptFilter[] = [];
  incoming: IncomingPublish[] = [];
  readonly ids: Uint8Array[] = [];
  request: SessionRequest | undefined;
  holder: SessionHolder | undefined;
  /** Set: subscribing and opening fail with it. */
  failure: AppError | undefined;

  async open(request: SessionRequest, holder: SessionHolder): Promise<KeptSession> {
    if (this.failure !== undefined) throw this.failure;
    this.request = request;
    this.holder = holder;
    const { heard, present, filters, incoming } = this;
    const hear = (text: string): void => void heard.push(text);
    return {
      present,
      filters,
      incoming,
      begin: () => hear("begin"),
      subscribe: async (added) => {
        if (this.failure !== undefined) throw this.failure;
        hear(`subscribe ${added.map(({ filter, tag }) => `${filter}:${tag & 3}`).join(" ")}`);
      },
      unsubscribe: async (removed) => {
        hear(`unsubscribe ${removed.join(" ")}`);
        return removed.map(() => true);
      },
      progress: (id, progress, reason) => hear(`${progress} ${id} ${reason}`),
      receiving: (packetId, id) => {
        this.ids.push(id);
        hear(`receiving ${packetId}`);
      },
      stored: (id) => hear(`stored ${id}`),
      refused: (id) => hear(`refused ${id}`),
      forget: (id) => hear(`forget ${id}`),
      closed: (seconds) => hear(`closed ${seconds}`),
    };
  }

  discard({ deviceId }: { readonly deviceId: string }): void {
    this.heard.push(`discard ${deviceId}`);
  }

  /** What was heard since the last call. */
  said(): string[] {
    return this.heard.splice(0);
  }
}

interface World {
  readonly rig: MqttRig;
  readonly home: Home;
  readonly client: MqttClient;
}

const KEPT = { clean: false, properties: { sessionExpiryInterval: 300 } };

async function world(prepare: (home: Home) => void = () => {}, connect: object = {}): Promise<World> {
  const home = new Home();
  prepare(home);
  const rig = mqttRig({}, { sessionHomes: home });
  const client = rig.client();
  client.send(connectPacket("d", 5, { ...KEPT, ...connect }));
  await settled();
  return { rig, home, client };
}

/** After the promises that the home answers by. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function message(text: string): SubscriberMessage {
  const bytes = Buffer.from(text);
  return {
    path: "a",
    bytes,
    payloadStart: 0,
    payloadEnd: bytes.length,
    contentType: "",
    qos: 2,
    retain: false,
    tenant: "",
    deviceId: "other",
    extras: () => undefined,
  };
}

const kept = (text: string, packetId: number, qos: 0 | 1 | 2, dup = false) => ({
  message: message(text),
  tags: [qos],
  packetId,
  qos,
  dup,
});

const short = (packet: Packet): string =>
  packet.cmd === "publish"
    ? `${(packet as IPublishPacket).payload} ${packet.messageId ?? 0}${packet.dup ? " dup" : ""}`
    : `${packet.cmd} ${packet.messageId ?? 0}`;
const came = ({ client }: World): string[] => client.packets().map(short);

describe("CONNECT that asks for a session that is kept", () => {
  it("waits for the home, and says what it says", async () => {
    const w = await world((home) => {
      home.present = true;
    });
    expect(w.home.request).toMatchObject({ clean: false, expirySeconds: 300, receiveMaximum: 256 });
    const [connack] = w.client.packets(5);
    expect(connack).toMatchObject({ cmd: "connack", sessionPresent: true, reasonCode: 0 });
    expect(connack).not.toHaveProperty("properties.sessionExpiryInterval");
    expect(w.home.said()).toEqual(["begin"]);
  });

  it("is refused while the home is away, in the terms of either version", async () => {
    for (const [version, code, expected] of [
      [5, "request.timeout", { reasonCode: 0x88 }],
      [5, "bus.stream_full", { reasonCode: 0x97 }],
      [4, "request.timeout", { returnCode: 3 }],
    ] as const) {
      const home = new Home();
      home.failure = new AppError(code, "away");
      const client = mqttRig({}, { sessionHomes: home }).client();
      client.send(connectPacket("d", version, version === 5 ? KEPT : { clean: false }));
      await settled();
      expect(client.packets(version)).toMatchObject([{ cmd: "connack", ...expected }]);
    }
  });

  it("before MQTT 5 asks for one that never ends", async () => {
    const home = new Home();
    const client = mqttRig({}, { sessionHomes: home }).client();
    client.send(connectPacket("d", 4, { clean: false }));
    await settled();
    expect(home.request).toMatchObject({ expirySeconds: 0xffff_ffff });
    expect(client.packets(4)).toMatchObject([{ cmd: "connack", sessionPresent: false }]);
  });

  it("gives the session back when the client has not waited, and when it goes", async () => {
    const home = new Home();
    const impatient = mqttRig({}, { sessionHomes: home }).client();
    impatient.send(connectPacket("d", 5, KEPT));
    impatient.lose();
    await settled();
    expect(home.said()).toEqual(["closed 300"]);
    const w = await world();
    w.client.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 7 } });
    w.client.lose();
    expect(w.home.said()).toEqual(["begin", "closed 7"]);
  });

  it("leaves none behind where it asks for none", async () => {
    const w = await world(() => {}, { clean: true, properties: {} });
    expect(w.home.said()).toEqual(["discard d"]);
  });
});

describe("the filters of a kept session", () => {
  it("are recorded before SUBACK, those of QoS 0 are matched here and the others at home", async () => {
    const w = await world();
    w.client.packets();
    w.client.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [
        { topic: "zero", qos: 0 },
        { topic: "one", qos: 1 },
      ],
    } as never);
    expect(w.client.packets()).toEqual([]);
    await settled();
    expect((w.client.packets()[0] as ISubackPacket).granted).toEqual([0, 1]);
    expect(w.home.said()).toEqual(["begin", "subscribe zero:0 one:1"]);
    expect([...w.rig.table.filters()]).toEqual(["zero"]);
    w.client.send({ cmd: "unsubscribe", messageId: 2, unsubscriptions: ["one", "none"] });
    await settled();
    expect(w.client.packets()).toMatchObject([{ cmd: "unsuback", granted: [0, 0x11] }]);
    expect(w.home.said()).toEqual(["unsubscribe one"]);
  });

  it("that cannot be recorded are refused", async () => {
    const w = await world();
    w.client.packets();
    for (const [code, reason] of [
      ["bus.stream_full", 0x97],
      ["request.timeout", 0x80],
    ] as const) {
      w.home.failure = new AppError(code, "no");
      w.client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] } as never);
      await settled();
      expect((w.client.packets()[0] as ISubackPacket).granted).toEqual([reason]);
    }
  });

  it("from before hold on, except those that the rules deny by now", async () => {
    const home = new Home();
    home.present = true;
    home.filters = [
      { filter: "zero", tag: 0 },
      { filter: "one", tag: 1 },
      { filter: "secret/#", tag: 1 },
    ];
    const rig = mqttRig({}, { sessionHomes: home });
    rig.admission.refusedFilters.add("secret/#");
    const client = rig.client();
    client.send(connectPacket("d", 5, KEPT));
    await settled();
    client.packets();
    expect(home.said()).toEqual(["unsubscribe secret/#", "begin"]);
    expect([...rig.table.filters()]).toEqual(["zero"]);
    const down = {
      path: "one",
      payload: Buffer.from("x"),
      contentType: "",
      timeoutMs: 1,
      waitForDevice: false,
    };
    await expect(client.connection.downlink(down)).resolves.toBe("written");
    await expect(client.connection.downlink({ ...down, path: "secret/a" })).rejects.toMatchObject({
      code: "device.not_subscribed",
    });
    rig.admission.refusedFilters.add("one");
    client.connection.rulesChanged();
    expect(client.packets().at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x87 });
  });
});

describe("a message from home", () => {
  it("goes out under its identifier, and home hears of every step", async () => {
    const w = await world();
    w.client.packets();
    expect(w.home.holder!.deliverKept(kept("one", 5, 1))).toBe(true);
    expect(w.home.holder!.deliverKept(kept("two", 6, 2, true))).toBe(true);
    expect(w.home.holder!.deliverKept(kept("zero", 0, 0))).toBe(true);
    expect(came(w)).toEqual(["one 5", "two 6 dup", "zero 0"]);
    w.home.said();
    w.client.send({ cmd: "puback", messageId: 5 });
    w.client.send({ cmd: "pubrec", messageId: 6 });
    expect(w.home.said()).toEqual(["acknowledged 5 0", "received 6 0"]);
    // PUBREL waits until that is recorded.
    expect(came(w)).toEqual([]);
    w.home.holder!.sendPubrel(6);
    expect(came(w)).toEqual(["pubrel 6"]);
    w.client.send({ cmd: "pubcomp", messageId: 6 });
    expect(w.home.said()).toEqual(["completed 6 0"]);
    expect(w.client.connection.figures().inflight).toBe(0);
  });

  it("is not lost from home's books when the connection ends", async () => {
    const w = await world();
    w.home.holder!.deliverKept(kept("one", 5, 1));
    w.client.lose();
    expect(w.rig.metrics.undelivered.values.get("mqtt,disconnected") ?? 0).toBe(0);
    // Home's still.
    expect(w.home.holder!.deliverKept(kept("late", 6, 1))).toBe(true);
  });

  it("is home's no longer when it cannot be sent, and is home's still when it was too much", async () => {
    const small = { properties: { sessionExpiryInterval: 300, maximumPacketSize: 50 } };
    const w = await world(() => {}, small);
    expect(w.home.holder!.deliverKept(kept("x".repeat(100), 5, 1))).toBe(false);
    const full = await world(() => {}, { properties: { sessionExpiryInterval: 300, receiveMaximum: 1 } });
    const { holder } = full.home;
    for (let id = 1; id <= 1002; id++) expect(holder!.deliverKept(kept("x", id, 1))).toBe(true);
    expect(full.client.packets().at(-1)).toMatchObject({ cmd: "disconnect", reasonCode: 0x97 });
  });

  it("and one for the device itself never share an identifier", async () => {
    const w = await world((home) => {
      home.filters = [{ filter: "a", tag: 1 }];
    });
    w.client.packets();
    w.home.holder!.deliverKept(kept("home", 1, 1));
    const payload = Buffer.from("here");
    await w.client.connection.downlink({
      path: "a",
      payload,
      contentType: "",
      timeoutMs: 1,
      waitForDevice: false,
    });
    expect(came(w)).toEqual(["home 1", "here 32768"]);
    w.home.said();
    w.client.send({ cmd: "puback", messageId: 32768 });
    expect(w.home.said()).toEqual([]);
  });

  it("is acknowledged by a client that had it over an earlier connection", async () => {
    const w = await world();
    w.home.said();
    w.client.send({ cmd: "puback", messageId: 9 });
    w.home.holder!.sendPubrel(10);
    w.client.send({ cmd: "pubcomp", messageId: 10 });
    expect(w.home.said()).toEqual(["acknowledged 9 0", "completed 10 0"]);
  });
});

const exactlyOnce = (payload: string, messageId: number, dup = false) =>
  ({ cmd: "publish", topic: "a", payload, qos: 2, messageId, dup }) as Packet;
const ID = Buffer.alloc(16, 7);

describe("a QoS 2 message of a client with a kept session", () => {
  it("is stored when home has recorded that it begins, and acknowledged when it is stored", async () => {
    const w = await world();
    w.client.packets();
    w.home.said();
    w.client.send(exactlyOnce("x", 3));
    expect(w.rig.events.taken).toEqual([]);
    expect(w.home.said()).toEqual(["receiving 3"]);
    w.home.holder!.incomingRecorded(3);
    expect(w.rig.events.taken).toHaveLength(1);
    expect(w.rig.events.taken[0]!.extras).toMatchObject({ qos: 2, id: w.home.ids[0], senderId: true });
    expect(came(w)).toEqual([]);
    w.rig.events.settle();
    expect(came(w)).toEqual(["pubrec 3"]);
    expect(w.home.said()).toEqual(["stored 3"]);
    w.client.send({ cmd: "pubrel", messageId: 3 });
    expect(came(w)).toEqual([]);
    expect(w.home.said()).toEqual(["forget 3"]);
    w.home.holder!.sendPubcomp(3);
    expect(came(w)).toEqual(["pubcomp 3"]);
  });

  it("that is known to be stored is acknowledged and not taken again", async () => {
    const w = await world((home) => {
      home.incoming = [{ packetId: 3, id: ID, isStored: true }];
    });
    w.client.packets();
    w.home.said();
    w.client.send(exactlyOnce("x", 3, true));
    expect(w.rig.events.taken).toEqual([]);
    expect(came(w)).toEqual(["pubrec 3"]);
    w.client.send({ cmd: "pubrel", messageId: 3 });
    expect(w.home.said()).toEqual(["forget 3"]);
  });

  it("that may have been stored over an earlier connection is stored at once under the id it has", async () => {
    const w = await world((home) => {
      home.incoming = [{ packetId: 3, id: ID, isStored: false }];
    });
    w.client.packets();
    w.home.said();
    w.client.send(exactlyOnce("x", 3, true));
    expect(w.home.said()).toEqual([]);
    expect(w.rig.events.taken[0]!.extras).toMatchObject({ id: ID, senderId: true });
    w.rig.events.settle();
    expect(came(w)).toEqual(["pubrec 3"]);
    expect(w.home.said()).toEqual(["stored 3"]);
  });

  it("whose PUBREC reached the client before that was recorded is released", async () => {
    const w = await world((home) => {
      home.incoming = [{ packetId: 3, id: ID, isStored: false }];
    });
    w.client.packets();
    w.home.said();
    w.client.send({ cmd: "pubrel", messageId: 3 });
    expect(w.home.said()).toEqual(["forget 3"]);
  });

  it("keeps its place: one that home knows waits behind one that it does not", async () => {
    const w = await world((home) => {
      home.incoming = [{ packetId: 9, id: ID, isStored: false }];
    });
    w.client.packets();
    w.client.send(exactlyOnce("first", 3));
    w.client.send(exactlyOnce("second", 4));
    w.client.send(exactlyOnce("third", 9, true));
    // Sent again before the answer: home has heard of it.
    w.client.send(exactlyOnce("first", 3, true));
    w.home.holder!.incomingRecorded(4);
    expect(w.rig.events.taken).toEqual([]);
    w.home.holder!.incomingRecorded(3);
    expect(w.rig.events.taken.map(({ payload }) => String(payload))).toEqual(["first", "second", "third"]);
  });

  it("that the stream refuses is home's no longer, and its client may use the identifier again", async () => {
    const w = await world();
    w.client.packets();
    w.home.said();
    w.client.send(exactlyOnce("x", 3));
    w.home.holder!.incomingRecorded(3);
    w.rig.events.settle(new AppError("bus.stream_full", "full"));
    expect(w.client.packets()).toMatchObject([{ cmd: "pubrec", messageId: 3, reasonCode: 0x97 }]);
    expect(w.home.said()).toEqual(["receiving 3", "refused 3"]);
    w.client.send(exactlyOnce("y", 3));
    expect(w.home.said()).toEqual(["receiving 3"]);
    expect(w.home.ids[0]).not.toEqual(w.home.ids[1]);
  });

  it("is not read for ever while home is silent", async () => {
    const w = await world();
    const chunk = "x".repeat(300_000);
    for (let id = 1; id <= 4; id++) w.client.send(exactlyOnce(chunk, id));
    expect(w.client.stream.paused).toBe(true);
    for (let id = 1; id <= 4; id++) w.home.holder!.incomingRecorded(id);
    expect(w.client.stream.paused).toBe(false);
    expect(w.rig.events.taken).toHaveLength(4);
  });

  it("that waits for home when the connection ends is left to the client", async () => {
    const w = await world();
    w.home.said();
    w.client.send(exactlyOnce("x", 3));
    const { holder } = w.home;
    w.client.lose();
    holder!.incomingRecorded(3);
    expect(w.rig.events.taken).toEqual([]);
    expect(w.home.said()).toEqual(["receiving 3", "closed 300"]);
  });
});

describe("a session that leaves its connection", () => {
  it.each([
    ["home_lost", 0x89],
    ["deleted", 0x98],
  ] as const)("because it was %s tells the client so, and home nothing more", async (why, reasonCode) => {
    const w = await world();
    w.client.packets();
    w.home.said();
    w.home.holder!.sessionLost(why);
    expect(w.client.packets()).toMatchObject([{ cmd: "disconnect", reasonCode }]);
    w.client.lose();
    expect(w.home.said()).toEqual([]);
  });

  it("because it was taken over tells home when it has let go", async () => {
    const w = await world();
    w.client.packets();
    w.home.said();
    w.home.holder!.sessionLost("taken_over");
    expect(w.client.packets()).toMatchObject([{ cmd: "disconnect", reasonCode: 0x8e }]);
    w.client.lose();
    expect(w.home.said()).toEqual(["closed 300"]);
  });

  it("while its messages of QoS 2 are being stored tells home of each of them, and of its end behind them", async () => {
    const w = await world();
    w.client.packets();
    w.home.said();
    for (const messageId of [3, 4]) {
      w.client.send(exactlyOnce("x", messageId));
      w.home.holder!.incomingRecorded(messageId);
    }
    w.home.said();
    w.home.holder!.sessionLost("taken_over");
    w.client.lose();
    expect(w.home.said()).toEqual([]);
    w.rig.events.settle();
    expect(w.home.said()).toEqual(["stored 3", "stored 4", "closed 300"]);
  });
});

describe("a client that does not begin anew, and whose session is to end with its connection", () => {
  const UNKEPT = { properties: { sessionExpiryInterval: 0 } };

  it("goes on with what an earlier connection has left, for the last time", async () => {
    const { client, home } = await world((home) => {
      home.present = true;
    }, UNKEPT);
    expect(client.packets()).toMatchObject([{ cmd: "connack", sessionPresent: true, reasonCode: 0 }]);
    expect(home.request).toMatchObject({ clean: false, expirySeconds: 0 });
    client.lose();
    expect(home.said()).toEqual(["begin", "closed 0"]);
  });

  it("leaves nothing at the home where there was nothing", async () => {
    const { client, home } = await world(() => {}, UNKEPT);
    expect(client.packets()).toMatchObject([{ cmd: "connack", sessionPresent: false, reasonCode: 0 }]);
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] });
    await settled();
    client.lose();
    expect(home.said()).toEqual(["closed 0"]);
  });

  it("is told of a home that cannot be asked", async () => {
    const { client } = await world((home) => {
      home.failure = new AppError("request.no_responder", "away");
    }, UNKEPT);
    expect(client.packets()).toMatchObject([{ cmd: "connack", reasonCode: 0x88 }]);
  });
});
