import {
  AppClient,
  type Bus,
  createBus,
  createStreamWriter,
  createSubjectLog,
  ensureStreams,
  openKeyValue,
} from "@myelin/bus";
import { BUCKETS, control, STREAMS, subjects } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { startNats } from "@myelin/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { deleteApp } from "./apps.js";

const PARTITIONS = 2;
const MIB = 1024 * 1024;

let nats: Awaited<ReturnType<typeof startNats>>;
let bus: Bus;
let client: AppClient;
let connected: string[] = [];

beforeAll(async () => {
  nats = await startNats();
  bus = createBus({ servers: [nats.url], instance: "test", service: "test", logger: silentLogger });
  await bus.start(AbortSignal.timeout(10_000));
  const small = { maxBytes: 16 * MIB };
  const streams = { events: small, unrouted: small, overflow: small, dedupe: small };
  await ensureStreams(bus, { partitions: PARTITIONS, streams });
  bus.subscribe(subjects.appAnnounceSync(), () => {
    const instances = connected.map((app, i) => ({ app, instance: `${app}-${i}`, healthy: true }));
    const announcement = control.AppAnnouncement.fromPartial({ bridge: "bridge-0", instances });
    bus.publish(subjects.appAnnounce(), control.AppAnnouncement.encode(announcement).finish());
  });
});

afterAll(async () => {
  await bus.stop();
  await nats[Symbol.asyncDispose]();
});

const bucket = () => openKeyValue(bus, BUCKETS.apps);
const remember = async (app: string, filter: string) => {
  await (await bucket()).put(app, Buffer.from(JSON.stringify({ app, subscriptions: [{ filter }] })));
};
const keep = (app: string, partition: number, id: string) =>
  createStreamWriter(bus).store(subjects.overflowBatch("app", app, partition), Buffer.from("a batch"), id);
const emptyOverflow = async () => {
  const overflow = createSubjectLog(bus, STREAMS.overflow.name);
  for (const subject of (await overflow.subjects(subjects.allOverflowBatches())).keys()) {
    await overflow.removeUpTo(subject, await overflow.lastSequence(subject));
  }
};

beforeEach(async () => {
  client = new AppClient(bus, systemClock);
  connected = [];
  await emptyOverflow();
  const apps = await bucket();
  for (const { key } of await apps.entries()) await apps.delete(key);
});

afterEach(() => client.stop());

let ids = 0;

describe("apps", () => {
  it("shows those that are remembered, connected or waited for", async () => {
    await remember("climate", "plant/#");
    connected = ["climate", "climate", "unheard"];
    await keep("night", 0, `${++ids}`);
    await keep("night", 1, `${++ids}`);
    const all = await client.list();
    expect(all.map((a) => [a.app, a.remembered, a.instances.length, a.waitingBatches])).toEqual([
      ["climate", true, 2, 0],
      ["night", false, 0, 2],
      ["unheard", false, 1, 0],
    ]);
    expect(all[0]!.subscriptions).toMatchObject([{ filter: "plant/#" }]);
  });

  it("describes none that nobody knows", async () => {
    await expect(client.get("nobody")).rejects.toMatchObject({ code: "app.unknown" });
    await expect(deleteApp(bus, client, "nobody", true)).rejects.toMatchObject({ code: "app.unknown" });
  });

  it("are not deleted while they are connected, unless forced", async () => {
    await remember("climate", "#");
    connected = ["climate"];
    await expect(deleteApp(bus, client, "climate", false)).rejects.toMatchObject({ code: "app.running" });
    expect((await (await bucket()).entries()).map(({ key }) => key)).toEqual(["climate"]);
    await deleteApp(bus, client, "climate", true);
    expect(await (await bucket()).entries()).toEqual([]);
  });

  it("are deleted when what waits for them was given up", async () => {
    await remember("night", "#");
    await keep("night", 0, `${++ids}`);
    const signal = AbortSignal.timeout(20_000);
    const watching = (async () => {
      for await (const { key, value } of (await bucket()).watch(signal)) {
        // What a dispatcher does then.
        if (key === "night" && value === undefined) return await emptyOverflow();
      }
    })();
    expect(await deleteApp(bus, client, "night", false)).toEqual({
      app: "night",
      deleted: true,
      waitingBatches: 0,
    });
    await watching;
  });
});
