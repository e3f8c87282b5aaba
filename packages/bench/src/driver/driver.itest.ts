import { execFile } from "node:child_process";
import { requires, waitFor } from "@myelin/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { numberIn } from "../measure/reports.js";
import { plugin as aedes } from "../systems/aedes/index.js";
import { plugin as fastify } from "../systems/fastify-bare/index.js";
import { type Driver, openDriver } from "./driver.js";

const CONNECTIONS = 7;

describe("the load driver", requires.program("cc"), () => {
  let driver: Driver;
  beforeAll(async () => {
    driver = await openDriver();
  });

  it.each([
    { qos: 0, topics: undefined, payload: 64 },
    { qos: 1, topics: undefined, payload: 64 },
    { qos: 1, topics: 700, payload: 300 },
    { qos: 2, topics: undefined, payload: 64 },
  ])("delivers every message of a count to its subscriber: %j", async (load) => {
    await using broker = await aedes.start({ connections: CONNECTIONS });
    const count = 5_003;
    await using subscriber = await driver.start("subscribe", {
      port: broker.mqttPort,
      connections: 1,
      client: "s",
      qos: load.qos,
    });
    const topic = load.topics === undefined ? "bench/{c}/data" : "bench/{c}/{t}";
    await using publisher = await driver.start("publish", {
      port: broker.mqttPort,
      connections: CONNECTIONS,
      count,
      topic,
      ...load,
    });
    const sent = await publisher.report("done", 30_000);
    expect(sent).toMatchObject({ sent: count, acked: load.qos === 0 ? 0 : count, closed: 0, bad_acks: 0 });
    await waitFor(async () => numberIn(await subscriber.snapshot(), "received") === count, {
      what: "all messages",
      deadlineMs: 20_000,
    });
    expect(await subscriber.stop()).toMatchObject({ received: count, duplicates: 0 });
  });

  it("keeps to a rate and measures each message from its scheduled time", async () => {
    await using broker = await aedes.start({ connections: CONNECTIONS });
    const common = { port: broker.mqttPort, qos: 1, stamp: true };
    await using subscriber = await driver.start("subscribe", { ...common, connections: 1, client: "s" });
    await using publisher = await driver.start("publish", {
      ...common,
      connections: 3,
      rate: 1_000,
      count: 500,
    });
    const sent = await publisher.report("done", 30_000);
    expect(sent).toMatchObject({ sent: 500, acked: 500, ack_latency: { count: 500 } });
    // 500 messages at 1,000 per second cannot take less than 499 ms.
    expect(numberIn(sent, "seconds")).toBeGreaterThan(0.498);
    await waitFor(async () => numberIn(await subscriber.snapshot(), "received") === 500, {
      what: "all messages",
    });
    expect(await subscriber.stop()).toMatchObject({ latency: { count: 500 } });
  });

  it("stops at a message's end, so that what is unfinished is neither counted nor cut", async () => {
    await using broker = await aedes.start({ connections: CONNECTIONS });
    await using subscriber = await driver.start("subscribe", {
      port: broker.mqttPort,
      connections: 1,
      client: "s",
    });
    await using publisher = await driver.start("publish", {
      port: broker.mqttPort,
      connections: CONNECTIONS,
    });
    await waitFor(async () => numberIn(await publisher.snapshot(), "sent") > 1_000, {
      what: "some messages",
    });
    const sent = numberIn(await publisher.stop(), "sent");
    await waitFor(async () => numberIn(await subscriber.snapshot(), "received") === sent, {
      what: `${sent} messages`,
      deadlineMs: 40_000,
    });
  });

  it("counts answers of an HTTP server by status and readings by line", async () => {
    await using server = await fastify.start({ connections: CONNECTIONS });
    const load = { port: server.httpPort, connections: CONNECTIONS, count: 100 };
    await using good = await driver.start("http", { ...load, path: "/readings/{c}", lines: 20 });
    expect(await good.report("done", 20_000)).toMatchObject({
      requests: 100,
      accepted: 100,
      readings: 2_000,
    });
    await using bad = await driver.start("http", { ...load, path: "/nowhere" });
    expect(await bad.report("done", 20_000)).toMatchObject({ accepted: 0, status: { "2xx": 0, "4xx": 100 } });
  });

  it("holds idle connections from several processes and sees them end", async () => {
    const broker = await aedes.start({ connections: 300 });
    try {
      await using holder = await driver.start("idle", {
        port: broker.mqttPort,
        connections: 300,
        "per-process": 100,
        keepalive: 2,
      });
      expect(await holder.snapshot()).toMatchObject({ connected: 300, open: 300, failed: 0, processes: 3 });
      // Longer than one and a half keep-alives: an MQTT server would have closed them without pings.
      await waitFor(async () => numberIn(await holder.snapshot(), "pings") >= 900, {
        what: "three pings each",
        deadlineMs: 10_000,
      });
      expect(await holder.snapshot()).toMatchObject({ open: 300, closed: 0 });
      await broker[Symbol.asyncDispose]();
      await waitFor(async () => (await holder.snapshot()).open === 0, { what: "the end to be seen" });
    } finally {
      await broker[Symbol.asyncDispose]();
    }
  });

  it("counts what each of many subscribers has", async () => {
    await using broker = await aedes.start({ connections: 100 });
    await using crowd = await driver.start("subscribe", {
      port: broker.mqttPort,
      connections: 80,
      client: "s",
      filter: "bench/000000/#",
    });
    await using publisher = await driver.start("publish", {
      port: broker.mqttPort,
      connections: 2,
      count: 100,
      qos: 1,
    });
    await publisher.report("done", 30_000);
    await waitFor(async () => numberIn(await crowd.snapshot(), "received") === 80 * 50, {
      what: "the half of the messages at each",
      deadlineMs: 20_000,
    });
    expect(await crowd.stop()).toMatchObject({ least: 50, most: 50 });
  });

  it("gives idle connections a filter each, and sees when a new subscriber has what was retained", async () => {
    await using broker = await aedes.start({ connections: 100 });
    const port = broker.mqttPort;
    await using holder = await driver.start("idle", {
      port,
      connections: 50,
      filter: "devices/{c}/#",
      qos: 1,
      persistent: true,
    });
    expect(await holder.stop()).toMatchObject({ connected: 50, open: 50, failed: 0 });
    await using publisher = await driver.start("publish", {
      port,
      connections: 1,
      topics: 20,
      topic: "bench/{t}",
      count: 20,
      qos: 1,
      retain: true,
    });
    await publisher.report("done", 30_000);
    await using late = await driver.start("subscribe", { port, connections: 1, client: "late", qos: 1 });
    await waitFor(async () => numberIn(await late.snapshot(), "received") === 20, {
      what: "what was retained",
    });
    expect(numberIn(await late.stop(), "since_subscribe")).toBeGreaterThan(0);
  });

  it("says why it cannot start", async () => {
    const refused = driver.start("publish", { port: 1, connections: 1 });
    await expect(refused).rejects.toMatchObject({
      code: "setup.process_failed",
      message: /Connection refused/,
    });
  });

  it("reports quantiles that are off by less than one per cent", async () => {
    const values = Array.from({ length: 5_000 }, (_, i) => Math.round(1.004 ** i * 50) % 10_000_000_000);
    const sorted = [...values].sort((a, b) => a - b);
    const latency = await histogramOf(driver, values);
    for (const [name, share] of [
      ["p50_us", 0.5],
      ["p90_us", 0.9],
      ["p99_us", 0.99],
      ["p999_us", 0.999],
    ] as const) {
      const exact = (sorted[Math.floor(share * sorted.length)] as number) / 1_000;
      expect(Math.abs((latency[name] as number) - exact), name).toBeLessThan(exact * 0.01 + 0.1);
    }
    expect(latency).toMatchObject({ count: 5_000, max_us: Math.round((sorted.at(-1) as number) / 100) / 10 });
  });
});

function histogramOf(driver: Driver, values: readonly number[]): Promise<Record<string, number>> {
  return new Promise((resolve, reject) => {
    const child = execFile(driver.path, ["histogram"], (error, stdout) => {
      if (error === null) resolve((JSON.parse(stdout) as { latency: Record<string, number> }).latency);
      else reject(error);
    });
    child.stdin?.end(values.join("\n"));
  });
}
