import { requires, startMosquitto, waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import { describe, expect, it } from "vitest";
import { type MqttDoor, Sender, Subscriber, startBox } from "../support/index.js";

/** Messages of each sender that are acknowledged before a kill, and after it. */
const BETWEEN = 200;
const CATCH_UP_MS = 60_000;

/**
 * Messages of each sender that have not come out yet: less than an outbox holds, and than Mosquitto has on the way to one client. What it must
 * queue for one that comes back, Mosquitto 2.0.11 mixes with what is published meanwhile.
 */
const AHEAD = 100;
const IN_ORDER = "max_queued_messages 0\nmax_inflight_messages 0";

function bridgeTo({ ports }: MqttDoor, ...topics: string[]): string {
  return `apiVersion: myelin.dev/v1alpha1
kind: Bridge
metadata: { name: b }
spec:
  remote: { mqtt: { url: "mqtt://127.0.0.1:${ports.mqtt}" } }
  reconnect: { min: 50ms, max: 500ms }
  topics:
${topics.map((topic) => `    - { ${topic} }\n`).join("")}`;
}

/** Resolves when what is published at one side comes out at the other one. */
async function crosses(from: MqttDoor, to: MqttDoor, topic: string): Promise<void> {
  await using reader = await Client.open(to, "probe");
  await using writer = await Client.open(from, "probe");
  await reader.mqtt.subscribeAsync(topic, { qos: 1 });
  await waitFor(
    async () => {
      await writer.mqtt.publishAsync(topic, "probe", { qos: 1 });
      return reader.got.length > 0;
    },
    { what: `${topic} to cross`, deadlineMs: CATCH_UP_MS, everyMs: 100 },
  );
}

/** A stock client that lists what it gets. */
class Client implements AsyncDisposable {
  readonly got: string[] = [];

  private constructor(readonly mqtt: Awaited<ReturnType<typeof connectAsync>>) {
    mqtt.on("error", () => undefined);
    mqtt.on("message", (topic, payload) => this.got.push(`${topic} ${payload}`));
  }

  static async open({ ports }: MqttDoor, clientId: string): Promise<Client> {
    return new Client(await connectAsync(`mqtt://127.0.0.1:${ports.mqtt}`, { clientId }));
  }

  count(line: string): number {
    return this.got.filter((one) => one === line).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mqtt.endAsync(true);
  }
}

describe("a bridge between a box and Mosquitto", requires.program("mosquitto"), () => {
  it.each([
    { workers: 1, killed: "listener-0, listener-0" },
    { workers: 1, killed: "core, core" },
    { workers: 1, killed: "listener-0 + core, nats-server" },
    // The one that runs the bridge is among them.
    { workers: 2, killed: "listener-0, listener-1" },
  ])(
    "loses nothing that was acknowledged, keeps the order, and has QoS 2 once in both directions while under load are killed: $killed",
    async ({ workers, killed }) => {
      await using broker = await startMosquitto({ config: IN_ORDER });
      const far: MqttDoor = { ports: { mqtt: broker.port } };
      await using box = await startBox({ workers });
      await box.writeResource(
        "bridge.yaml",
        bridgeTo(
          far,
          "filter: in/2/#, direction: in, qos: 2",
          "filter: in/1/#, direction: in, qos: 1",
          "filter: out/2/#, direction: out, qos: 2",
          "filter: out/1/#, direction: out, qos: 1",
        ),
      );
      await crosses(far, box, "in/1/probe");
      await crosses(box, far, "out/1/probe");

      await using in1 = await Subscriber.open(box, "reader-1", "in/1", 1);
      await using in2 = await Subscriber.open(box, "reader-2", "in/2", 2);
      await using out1 = await Subscriber.open(far, "reader-1", "out/1", 1);
      await using out2 = await Subscriber.open(far, "reader-2", "out/2", 2);
      await using toIn1 = await Sender.open(far, "press-1", "in/1", 1, { reader: in1, ahead: AHEAD });
      await using toIn2 = await Sender.open(far, "press-2", "in/2", 2, { reader: in2, ahead: AHEAD });
      await using toOut1 = await Sender.open(box, "press-1", "out/1", 1, { reader: out1, ahead: AHEAD });
      await using toOut2 = await Sender.open(box, "press-2", "out/2", 2, { reader: out2, ahead: AHEAD });
      const senders = [toIn1, toIn2, toOut1, toOut2];
      const progress = () => Promise.all(senders.map((sender) => sender.progress(BETWEEN)));
      for (const victims of killed.split(", ")) {
        await progress();
        await Promise.all(victims.split(" + ").map((victim) => box.kill(victim)));
        await progress();
      }
      await Promise.all(senders.map((sender) => sender.finish()));
      await Promise.all([
        in1.have(toIn1.sent, CATCH_UP_MS),
        in2.have(toIn2.sent, CATCH_UP_MS),
        out1.have(toOut1.sent, CATCH_UP_MS),
        out2.have(toOut2.sent, CATCH_UP_MS),
      ]);
      expect({ in1: in1.late, in2: in2.late, out1: out1.late, out2: out2.late }).toEqual({
        in1: [],
        in2: [],
        out1: [],
        out2: [],
      });
      expect({ in2: in2.doubles, out2: out2.doubles }).toEqual({ in2: [], out2: [] });
    },
    240_000,
  );
});

describe("the command line", requires.program("mosquitto"), () => {
  it("tells of a bridge whether it is connected, what waits in its outbox, and what it has dropped", async () => {
    await using broker = await startMosquitto();
    const far: MqttDoor = { ports: { mqtt: broker.port } };
    await using box = await startBox({ workers: 1 });
    const small = "  outbox: { maxMessages: 3 }\n";
    await box.writeResource("bridge.yaml", bridgeTo(far, "filter: out/#, direction: out") + small);
    await crosses(box, far, "out/probe");
    const shown = async (verb: string, part: RegExp): Promise<string> => {
      let last = "";
      await waitFor(
        async () => {
          last = (await box.myelin(verb, "bridge", "b")).stdout;
          return part.test(last);
        },
        { what: `${part} in what ${verb} shows`, deadlineMs: CATCH_UP_MS, everyMs: 500 },
      ).catch((cause: unknown) => {
        throw new Error(last, { cause });
      });
      return last;
    };
    const row = (ready: string, queued: number, dropped: number | string): RegExp =>
      new RegExp(`│ ready +│ queued +│ dropped .*│ b .*│ ${ready} +│ ${queued} +│ (${dropped}) +│`, "s");
    // Of what was sent before the bridge was connected for the first time so small an outbox may have dropped some.
    const idle = row("True", 0, "\\d+");
    const before = Number(idle.exec(await shown("get", idle))?.[1]);
    await broker.kill();
    await shown("describe", /│ Ready +│ False .*mqtt:\S+ cannot be reached: connect ECONNREFUSED/);
    await using writer = await Client.open(box, "writer");
    for (let n = 0; n < 5; n++) await writer.mqtt.publishAsync("out/x", String(n), { qos: 1 });
    await shown("get", row("False", 3, before + 2));
    await shown(
      "describe",
      new RegExp(
        `queuedMessages: 3\\s+queuedBytes: \\d+\\s+oldestQueuedSeconds: [\\d.]+\\s+droppedMessages: ${before + 2}`,
      ),
    );
    await broker.restart();
    await shown("get", row("True", 0, before + 2));
  }, 120_000);
});

describe("two boxes", () => {
  const both = ["filter: plant/#, direction: both, qos: 2", "filter: plant/+/t, direction: both, qos: 2"];
  const out = ["filter: '#', direction: out, qos: 2", "filter: plant/+/t, direction: out, qos: 2"];

  it.each([
    { how: "one bridge", ofA: both, ofB: undefined },
    { how: "one bridge each", ofA: out, ofB: out },
  ])(
    "have every message once on either side while listeners and a core are killed under load, joined over overlapping topics by $how",
    async ({ ofA, ofB }) => {
      await using a = await startBox({ workers: 1 });
      await using b = await startBox({ workers: 1 });
      await a.writeResource("bridge.yaml", bridgeTo(b, ...ofA));
      if (ofB !== undefined) await b.writeResource("bridge.yaml", bridgeTo(a, ...ofB));
      await crosses(a, b, "plant/probe");
      await crosses(b, a, "plant/probe");

      await using ownA = await Subscriber.open(a, "own", "plant/a/t", 2);
      await using ownB = await Subscriber.open(b, "own", "plant/b/t", 2);
      await using farA = await Subscriber.open(b, "far", "plant/a/t", 2);
      await using farB = await Subscriber.open(a, "far", "plant/b/t", 2);
      await using fromA = await Sender.open(a, "press", "plant/a/t", 2, { reader: farA, ahead: AHEAD });
      await using fromB = await Sender.open(b, "press", "plant/b/t", 2, { reader: farB, ahead: AHEAD });
      const progress = () => Promise.all([fromA.progress(BETWEEN), fromB.progress(BETWEEN)]);
      for (const [box, victim] of [
        [a, "listener-0"],
        [b, "listener-0"],
        [b, "core"],
      ] as const) {
        await progress();
        await box.kill(victim);
        await progress();
      }
      await Promise.all([fromA.finish(), fromB.finish()]);
      const readers = { ownA, farA, ownB, farB };
      await Promise.all([
        ...[ownA, farA].map((reader) => reader.have(fromA.sent, CATCH_UP_MS)),
        ...[ownB, farB].map((reader) => reader.have(fromB.sent, CATCH_UP_MS)),
      ]);
      for (const [name, { doubles, late }] of Object.entries(readers)) {
        expect({ name, doubles, late }).toEqual({ name, doubles: [], late: [] });
      }
    },
    240_000,
  );
});
