import { Lane, subjects, toAppErrorMessage, app as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startWorld, type TransportName, type World } from "./harness.js";
import { connectApp, connectRaw, HELLO } from "./raw-app.js";

let world: World;
beforeAll(async () => {
  world = await startWorld({ helloTimeout: "300ms" });
});
afterAll(() => world[Symbol.asyncDispose]());

let made = 0;
const fresh = (): string => `app-${++made}`;

describe.each<TransportName>(["grpc", "socket"])("an app over %s", (transport) => {
  it("is welcomed, announced, and gets the owner's bytes as they are", async () => {
    const app = fresh();
    using raw = await connectApp(world.target(transport), { app, instance: "one" });
    const welcome = await raw.frame("welcome");
    expect(welcome.value).toMatchObject({ version: 1, bridge: "bridge-0", instance: "one" });
    const [instance] = await world.owner.waitFor(app);
    expect(instance!.subscriptions).toEqual(HELLO.subscriptions);
    const share = { app, instance: instance!.instance, payloads: ["a", "b"] };
    const bytes = world.owner.batch(share);
    world.owner.bus.publish("mln.brg.deliver.bridge-0", bytes);
    expect(await raw.payloads(2)).toEqual(["a", "b"]);
    expect(raw.batches[0]!.bytes.equals(bytes)).toBe(true);
    raw.ack(raw.batches[0]!.hop);
    await world.owner.waitForAck(instance!.instance, 1);
    const ack = world.owner.acks.find((a) => a.targetInstance === instance!.instance);
    expect(ack).toMatchObject({
      target: app,
      partition: 0,
      lane: Lane.EVENT,
      epoch: 1,
      sequence: 1,
      ordinal: 2,
    });
  });

  it("that the dispatchers refuse is told why", async () => {
    const [refused, other] = [fresh(), fresh()];
    using raw = await connectApp(world.target(transport), { app: refused });
    using neighbour = await connectApp(world.target(transport), { app: other });
    await world.owner.waitFor(refused);
    const error = toAppErrorMessage(new AppError("limit.apps", "too many"));
    world.owner.bus.publish(subjects.appRefusal(refused), wire.AppError.encode(error).finish());
    expect((await raw.frame("error")).value).toMatchObject({ code: "limit.apps", retryable: true });
    await world.owner.waitFor(refused, 0);
    neighbour.send({ $case: "ping", value: { nonce: 1 } });
    await neighbour.frame("pong");
  });

  it("that dies leaves unacknowledged what it had not acknowledged, and is out of the announcement", async () => {
    const app = fresh();
    using raw = await connectApp(world.target(transport), { app });
    const [instance] = await world.owner.waitFor(app);
    for (const p of ["1", "2", "3"])
      world.owner.deliver({ app, instance: instance!.instance, payloads: [p] });
    await raw.payloads(3);
    raw.ack(raw.batches[1]!.hop);
    await world.owner.waitForAck(instance!.instance, 2);
    raw.stream.destroy();
    await world.owner.waitFor(app, 0);
    expect(world.owner.ackedSequence(instance!.instance)).toBe(2);
    const account = world.bridge.ledger.snapshot().accounts.find((a) => a.target === app);
    expect(account).toMatchObject({
      received: 3,
      forwarded: 2,
      queued: 0,
      dropped: [{ reason: "requeued", count: 1 }],
    });
  });

  it("that never acknowledges gets no more than its credit", async () => {
    const app = fresh();
    using raw = await connectApp(world.target(transport), { app, creditEnvelopes: 3 });
    const [instance] = await world.owner.waitFor(app);
    expect(instance!.creditEnvelopes).toBe(3);
    for (let i = 0; i < 6; i++)
      world.owner.deliver({ app, instance: instance!.instance, payloads: [`${i}`] });
    const account = await waitFor(
      () => world.bridge.ledger.snapshot().accounts.find((a) => a.target === app && a.received === 6),
      { what: "six messages at the bridge" },
    );
    expect(account.queued).toBe(6);
    raw.send({
      $case: "request",
      value: {
        id: 1,
        target: "platform/ping",
        payload: Buffer.alloc(0),
        contentType: "",
        timeoutMs: 0,
        traceparent: "",
        from: "",
      },
    });
    await raw.frame("response");
    expect(raw.received).toEqual(["0", "1", "2"]);
    raw.ack(raw.batches[2]!.hop);
    expect(await raw.payloads(6)).toEqual(["0", "1", "2", "3", "4", "5"]);
  });

  it("is refused with a code, and the stream ends, for a hello that cannot be", async () => {
    const cases = [
      [{ version: 9 }, "contract.unsupported_version"],
      [{ app: "" }, "contract.bad_token"],
      [{ app: "a/b" }, "contract.bad_token"],
      [{ instance: "x".repeat(200) }, "contract.bad_token"],
      [{ healthUrl: "file:///etc/passwd" }, "app.protocol"],
      [{ healthUrl: "http://%ff@127.0.0.1/health" }, "app.protocol"],
      [{ subscriptions: [{ ...HELLO.subscriptions[0]!, filter: "a/#/b" }] }, "contract.bad_token"],
      [{ subscriptions: Array.from({ length: 1_001 }, () => HELLO.subscriptions[0]!) }, "app.protocol"],
      [{ serves: Array.from({ length: 300 }, (_, i) => `m${i}`) }, "app.protocol"],
    ] as const;
    for (const [change, code] of cases) {
      using raw = await connectRaw(world.target(transport));
      raw.send({ $case: "hello", value: { ...HELLO, ...(change as object) } });
      expect((await raw.frame("error")).value.code).toBe(code);
      await raw.end();
    }
  });

  it("is refused when it works before its hello, says hello twice, or says nothing", async () => {
    using early = await connectRaw(world.target(transport));
    early.send({ $case: "credit", value: { envelopes: 1, bytes: 1 } });
    expect((await early.frame("error")).value.code).toBe("app.protocol");
    await early.end();
    using twice = await connectApp(world.target(transport), { app: fresh() });
    twice.send({ $case: "hello", value: HELLO });
    expect((await twice.frame("error")).value.code).toBe("app.protocol");
    await twice.end();
    using silent = await connectRaw(world.target(transport));
    expect((await silent.frame("error")).value.code).toBe("protocol.timeout");
    await silent.end();
  });

  it("replaces an older session that calls itself the same", async () => {
    const app = fresh();
    using older = await connectApp(world.target(transport), { app, instance: "same" });
    await world.owner.waitFor(app);
    using newer = await connectApp(world.target(transport), { app, instance: "same" });
    expect((await older.frame("error")).value.code).toBe("app.duplicate_instance");
    await older.frame("drain");
    await older.end();
    await world.owner.waitFor(app, 1);
    expect(newer.closed).toBe(false);
  });

  it("changes its subscriptions and its credit while it runs", async () => {
    const app = fresh();
    using raw = await connectApp(world.target(transport), { app });
    const subscription = { ...HELLO.subscriptions[0]!, filter: "plant/+/t" };
    raw.send({ $case: "subscribe", value: { subscriptions: [subscription] } });
    raw.send({ $case: "credit", value: { envelopes: 7, bytes: 0 } });
    const changed = await waitFor(
      () =>
        world.owner.instances(app).find((i) => i.creditEnvelopes === 7 && i.subscriptions[0]!.filter !== "#"),
      { what: "the changed announcement" },
    );
    expect(changed.subscriptions).toEqual([subscription]);
  });

  it("refuses batches of an owner that was replaced, and does not acknowledge to it any more", async () => {
    const app = fresh();
    const partition = transport === "grpc" ? 2 : 3;
    using raw = await connectApp(world.target(transport), { app });
    const [instance] = await world.owner.waitFor(app);
    const share = { app, instance: instance!.instance, partition };
    world.owner.deliver({ ...share, epoch: 10, payloads: ["old"] });
    await raw.payloads(1);
    world.owner.deliver({ ...share, epoch: 11, payloads: ["new"] });
    world.owner.deliver({ ...share, epoch: 10, payloads: ["stale"] });
    world.owner.deliver({ ...share, epoch: 11, payloads: ["newer"] });
    expect(await raw.payloads(3)).toEqual(["old", "new", "newer"]);
    raw.ack(raw.batches[0]!.hop);
    raw.ack(raw.batches[2]!.hop);
    await world.owner.waitForAck(instance!.instance, 2, partition);
    const acks = world.owner.acks.filter((a) => a.targetInstance === instance!.instance);
    expect(acks.every((a) => a.epoch === 11)).toBe(true);
  });

  it("waits at a gap in the event lane and counts a gap in telemetry", async () => {
    const app = fresh();
    using raw = await connectApp(world.target(transport), { app });
    const [instance] = await world.owner.waitFor(app);
    for (const lane of [Lane.EVENT, Lane.TELEMETRY]) {
      const share = { app, instance: instance!.instance, lane };
      const [first, lost, third] = ["1", "2", "3"].map((p) =>
        world.owner.batch({ ...share, payloads: [`${lane}${p}`] }),
      );
      for (const data of [first!, third!]) world.owner.bus.publish("mln.brg.deliver.bridge-0", data);
      if (lane === Lane.TELEMETRY) continue;
      for (const data of [lost!, third!, third!]) world.owner.bus.publish("mln.brg.deliver.bridge-0", data);
    }
    expect(await raw.payloads(5)).toEqual(["21", "22", "23", "11", "13"]);
    const accounts = world.bridge.ledger.snapshot().accounts.filter((a) => a.target === app);
    expect(accounts).toMatchObject([
      { lane: Lane.TELEMETRY, received: 3, dropped: [{ reason: "lost_in_transit", count: 1 }] },
      { lane: Lane.EVENT, received: 3, dropped: [] },
    ]);
  });
});
