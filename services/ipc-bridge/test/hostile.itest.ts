import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { app, encodeAppFrame, Lane, TAG_FRAME_PUBLISH, wrapFrame } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWorld, type TransportName, type World } from "./harness.js";
import { connectApp, connectRaw, HELLO } from "./raw-app.js";

// Heartbeat and health checks stay out of the way here: an app is cut off for what it does, never for a machine that is busy.
let world: World;
beforeAll(async () => {
  world = await startWorld({
    maxFrame: "1MiB",
    heartbeat: "10m",
    held: "1MiB",
    health: { interval: "10m" },
    publish: { maxUnsettled: 4 },
    calls: { maxPending: 2 },
  });
});
afterAll(() => world[Symbol.asyncDispose]());

let made = 0;
const fresh = (): string => `app-${++made}`;

/** Bytes that are no frame, no known frame, or a frame that an app may not send. */
const MALFORMED: readonly (readonly [string, Uint8Array, string])[] = [
  ["nothing", Buffer.alloc(0), "contract.bad_frame"],
  ["a field number of zero", Buffer.from([0x07]), "contract.bad_frame"],
  ["a frame of a later version", Buffer.from([0xfa, 0x7f, 0x00]), "contract.bad_frame"],
  ["a length over the end", Buffer.from([0x0a, 0x7f, 0x01]), "contract.bad_frame"],
  ["a number over 2^53", Buffer.from([0x22, 0x09, 0x19, ...Array(8).fill(0xff)]), "contract.bad_frame"],
  ["a welcome", encodeAppFrame({ $case: "welcome", value: app.AppWelcome.create() }), "app.protocol"],
  [
    "a publish result",
    encodeAppFrame({ $case: "publishResult", value: app.PublishResult.create() }),
    "app.protocol",
  ],
  [
    "a publish with an unknown field behind",
    Buffer.concat([wrapFrame(TAG_FRAME_PUBLISH, Buffer.from([8, 1])), Buffer.from([0xfa, 0x7f, 0x00])]),
    "contract.bad_frame",
  ],
  ["a large hello", wrapFrame(0x0a, Buffer.alloc(300_000)), "contract.frame_too_large"],
  [
    "a large publish hidden behind a request",
    Buffer.concat([
      wrapFrame(0x42, Buffer.alloc(0)),
      wrapFrame(TAG_FRAME_PUBLISH, Buffer.alloc(300_000, 0x1a)),
    ]),
    "contract.frame_too_large",
  ],
];

describe.each<TransportName>(["grpc", "socket"])("an app over %s", (transport) => {
  it.each(MALFORMED)(
    "that sends %s is told so and disconnected, and its neighbour is not",
    async (_what, bytes, code) => {
      using neighbour = await connectApp(world.target(transport), { app: fresh() });
      using raw = await connectApp(world.target(transport), { app: fresh() });
      raw.stream.send(bytes);
      expect((await raw.frame("error")).value.code).toBe(code);
      await raw.end();
      neighbour.send({ $case: "ping", value: { nonce: 3 } });
      await waitFor(() => neighbour.frames.some((f) => f.$case === "pong"), { what: "the neighbour's pong" });
    },
  );

  it("cannot harm the bridge or its neighbour with random and mutated frames", async () => {
    const name = fresh();
    using neighbour = await connectApp(world.target(transport), { app: name });
    const [instance] = await world.owner.waitFor(name);
    const seeds = [
      encodeAppFrame({ $case: "hello", value: HELLO }),
      encodeAppFrame({ $case: "publish", value: { sequence: 1, lane: 1, envelopes: [] } }),
      encodeAppFrame({ $case: "ack", value: { partition: 1, lane: 2, epoch: 3, sequence: 4 } }),
      encodeAppFrame({ $case: "send", value: app.SendToDevice.create({ id: 1, deviceId: "d", path: "p" }) }),
      encodeAppFrame({ $case: "request", value: app.Request.create({ id: 1, target: "platform/ping" }) }),
    ].map((bytes) => Buffer.from(bytes));
    const mutated = fc
      .tuple(fc.constantFrom(...seeds), fc.nat(), fc.nat(255), fc.nat())
      .map(([seed, at, byte, cut]) => {
        const copy = Buffer.from(seed);
        copy[at % copy.length] = byte;
        return copy.subarray(0, 1 + (cut % copy.length));
      });
    const frames = fc.array(fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 300 }), mutated), {
      maxLength: 5,
    });
    await fc.assert(
      fc.asyncProperty(frames, fc.boolean(), async (hostile, greeted) => {
        using raw = greeted
          ? await connectApp(world.target(transport), { app: "hostile" })
          : await connectRaw(world.target(transport));
        for (const frame of hostile) raw.stream.send(frame);
        raw.stream.close();
        await raw.end();
      }),
      { numRuns: 60 },
    );
    world.owner.deliver({ app: name, instance: instance!.instance, payloads: ["still here"] });
    expect(await neighbour.payloads(1)).toEqual(["still here"]);
    expect(world.bridge.condition?.()).toEqual({ state: "running" });
  });

  it("that reads nothing has its oldest telemetry dropped and counted, while its neighbour gets everything", async () => {
    const [slow, quick] = [fresh(), fresh()];
    using reading = await connectApp(world.target(transport), { app: quick });
    using stuck = await connectApp(world.target(transport), { app: slow });
    const [a] = await world.owner.waitFor(slow);
    const [b] = await world.owner.waitFor(quick);
    stuck.stream.pause();
    const payload = "x".repeat(100_000);
    for (let i = 0; i < 300; i++) {
      world.owner.deliver({ app: slow, instance: a!.instance, lane: Lane.TELEMETRY, payloads: [payload] });
      if (i % 10 === 0)
        world.owner.deliver({ app: quick, instance: b!.instance, lane: Lane.TELEMETRY, payloads: [`${i}`] });
      if (i % 50 === 0) await world.owner.bus.flush();
    }
    expect(await reading.payloads(30)).toHaveLength(30);
    const account = await waitFor(
      () => world.bridge.ledger.snapshot().accounts.find((x) => x.target === slow && x.received === 300),
      { what: "all telemetry of the slow app at the bridge" },
    );
    const dropped = account.dropped.find((d) => d.reason === "queue_full")?.count ?? 0;
    expect(dropped).toBeGreaterThan(100);
    expect(account.received).toBe(account.forwarded + account.queued + dropped);
  });

  it("that reads no events is disconnected before they fill the memory, and the owner keeps them", async () => {
    const slow = fresh();
    using stuck = await connectApp(world.target(transport), { app: slow });
    const [instance] = await world.owner.waitFor(slow);
    stuck.stream.pause();
    const payload = "x".repeat(100_000);
    for (let i = 0; i < 200; i++)
      world.owner.deliver({ app: slow, instance: instance!.instance, payloads: [payload] });
    await world.owner.waitFor(slow, 0);
    expect(world.owner.ackedSequence(instance!.instance)).toBe(0);
    const account = world.bridge.ledger.snapshot().accounts.find((x) => x.target === slow)!;
    expect(account.dropped).toEqual([{ reason: "requeued", count: account.received }]);
  });

  it("gets no more calls than may wait, and the others an error", async () => {
    const name = fresh();
    using asked = await connectApp(world.target(transport), { app: name, serves: ["m"] });
    using asking = await connectApp(world.target(transport), { app: fresh() });
    await world.owner.waitFor(name);
    for (let id = 1; id <= 5; id++) {
      asking.send({
        $case: "request",
        value: app.Request.create({ id, target: `app:${name}/m`, timeoutMs: 60_000 }),
      });
    }
    const responses = (count: number): Promise<app.Response[]> =>
      waitFor(
        () => {
          const all = asking.frames.flatMap((f) => (f.$case === "response" ? [f.value] : []));
          return all.length === count && all;
        },
        { what: `${count} responses` },
      );
    const refused = await responses(3);
    expect(refused.map((r) => r.error?.code)).toEqual(["queue.full", "queue.full", "queue.full"]);
    const requests = await waitFor(
      () => {
        const all = asked.frames.flatMap((f) => (f.$case === "request" ? [f.value] : []));
        return all.length === 2 && all;
      },
      { what: "two requests" },
    );
    for (const { id } of requests) asked.send({ $case: "response", value: app.Response.create({ id }) });
    const answered = (await responses(5)).filter((r) => r.error === undefined);
    expect(answered.map((r) => r.id).sort()).toEqual([1, 2]);
    expect(asked.frames.filter((f) => f.$case === "request")).toHaveLength(2);
  });
});

describe.each<TransportName>(["grpc", "socket"])("an app over %s that is watched closely", (transport) => {
  it("and is half open is disconnected after two heartbeats", async () => {
    await using impatient = await startWorld({ heartbeat: "100ms", health: { interval: "10m" } });
    using silent = await connectApp(impatient.target(transport), { app: fresh() });
    silent.healthy = undefined;
    expect((await silent.frame("error")).value.code).toBe("protocol.timeout");
    await silent.end();
  });

  it("is judged by its health address where it gives one", async () => {
    await using curious = await startWorld({
      heartbeat: "10m",
      health: { interval: "50ms", timeout: "10s" },
    });
    const answers: number[] = [];
    let status = 200;
    const server = createServer((_request, response) => {
      answers.push(status);
      response.writeHead(status).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const name = fresh();
    using _raw = await connectApp(curious.target(transport), {
      app: name,
      healthUrl: `http://127.0.0.1:${port}/health`,
    });
    await curious.owner.waitFor(name);
    await waitFor(() => answers.length >= 3, { what: "three probes" });
    expect(curious.owner.instances(name)).toHaveLength(1);
    // A redirect is no good answer either; each verdict takes three in a row.
    for (const [next, instances] of [
      [500, 0],
      [204, 1],
      [302, 0],
      [200, 1],
    ] as const) {
      status = next;
      answers.length = 0;
      await curious.owner.waitFor(name, instances);
      expect(answers.filter((s) => s === next).length).toBeGreaterThanOrEqual(3);
    }
    server.close();
    server.closeAllConnections();
  });
});

it("acknowledges nothing that an app did not get, whatever it names", async () => {
  const name = fresh();
  using liar = await connectApp(world.target("socket"), { app: name, creditEnvelopes: 1 });
  const [instance] = await world.owner.waitFor(name);
  const share = { app: name, instance: instance!.instance, partition: 1 };
  for (const payload of ["first", "held"]) world.owner.deliver({ ...share, payloads: [payload] });
  await liar.payloads(1);
  const { hop } = liar.batches[0]!;
  // Lane 6 of partition 0 has the place of lane 2 of partition 1, if one only counts.
  for (const wrong of [
    { ...hop, partition: 0, lane: 6 as Lane },
    { ...hop, epoch: hop.epoch + 1 },
    { ...hop, partition: 4_000_000_000 },
    { ...hop, sequence: 0 },
    { ...hop, lane: Lane.TELEMETRY },
  ]) {
    liar.ack(wrong);
  }
  liar.send({ $case: "ping", value: { nonce: 9 } });
  await liar.frame("pong");
  expect(world.bridge.ledger.snapshot().accounts.find((x) => x.target === name)).toMatchObject({
    forwarded: 0,
    queued: 2,
  });
  liar.ack({ ...hop, sequence: 1_000_000 });
  expect(await liar.payloads(2)).toEqual(["first", "held"]);
  // What came after that word is not covered by it.
  await world.owner.waitForAck(instance!.instance, 1, 1);
  expect(world.bridge.ledger.snapshot().accounts.find((x) => x.target === name)).toMatchObject({
    forwarded: 1,
    queued: 1,
  });
});

it("closes a socket that announces 4 GB without taking the memory", async () => {
  const before = process.memoryUsage().rss;
  const socket = connect({ path: world.target("socket").slice("unix:".length) });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => undefined);
  socket.write(Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff]), randomBytes(1000)]));
  await closed;
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
});
