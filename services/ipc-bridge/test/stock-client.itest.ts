import { Client, credentials } from "@grpc/grpc-js";
import { app, type envelope } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import { expect, it } from "vitest";
import { startWorld } from "./harness.js";
import { connectApp, HELLO } from "./raw-app.js";

it("a stock gRPC client with generated code says hello, receives, acknowledges and publishes", async () => {
  await using world = await startWorld();
  const client = new Client(world.target("grpc"), credentials.createInsecure());
  const call = client.makeBidiStreamRequest<app.AppFrame, app.AppFrame>(
    "/myelin.app.v1.AppService/Connect",
    (frame) => Buffer.from(app.AppFrame.encode(frame).finish()),
    (bytes) => app.AppFrame.decode(bytes),
  );
  const frames: NonNullable<app.AppFrame["frame"]>[] = [];
  call.on("data", ({ frame }: app.AppFrame) => frame !== undefined && frames.push(frame));
  call.write({ frame: { $case: "hello", value: { ...HELLO, app: "stock" } } });
  const [instance] = await world.owner.waitFor("stock");
  world.owner.deliver({ app: "stock", instance: instance!.instance, payloads: ["one", "two"] });
  const batch = await waitFor(
    () => frames.flatMap((f): envelope.Batch[] => (f.$case === "deliver" ? [f.value] : []))[0],
    { what: "the batch" },
  );
  expect(batch.envelopes.map((e) => [e.deviceId, Buffer.from(e.payload).toString()])).toEqual([
    ["d1", "one"],
    ["d1", "two"],
  ]);
  const { partition, lane, epoch, sequence } = batch.hop!;
  call.write({ frame: { $case: "ack", value: { partition, lane, epoch, sequence } } });
  await world.owner.waitForAck(instance!.instance, sequence);
  call.write({
    frame: {
      $case: "publish",
      value: app.Publish.fromPartial({
        sequence: 1,
        lane: 1,
        envelopes: [{ deviceId: "stock-device", path: "p", payload: Buffer.from("three") }],
      }),
    },
  });
  await waitFor(() => world.owner.telemetry.some((e) => e.deviceId === "stock-device"), {
    what: "the publish",
  });
  const ended = new Promise<number>((resolve) => call.on("status", ({ code }) => resolve(code)));
  call.end();
  expect(await ended).toBe(0);
  await world.owner.waitFor("stock", 0);
  client.close();
});

it("a bridge that stops drains its apps: they finish, acknowledge, and are closed", async () => {
  await using world = await startWorld({ drainTimeout: "3s" });
  using raw = await connectApp(world.target("socket"), { app: "draining" });
  const [instance] = await world.owner.waitFor("draining");
  world.owner.deliver({ app: "draining", instance: instance!.instance, payloads: ["last"] });
  await raw.payloads(1);
  const stopped = world.bridge.stop();
  await raw.frame("drain");
  await waitFor(() => world.owner.announced.get("bridge-0")!.instances[0]?.draining, {
    what: "the announced drain",
  });
  expect(raw.closed).toBe(false);
  raw.ack(raw.batches[0]!.hop);
  await stopped;
  await raw.end();
  await world.owner.waitForAck(instance!.instance, 1);
  await waitFor(() => world.owner.announced.get("bridge-0")!.instances.length === 0, {
    what: "the last announcement",
  });
});

it("an app keeps its connection while NATS is away, and gets and acknowledges again when it is back", async () => {
  await using world = await startWorld();
  using raw = await connectApp(world.target("socket"), { app: "patient" });
  const [instance] = await world.owner.waitFor("patient");
  const share = { app: "patient", instance: instance!.instance };
  world.owner.deliver({ ...share, payloads: ["before"] });
  await raw.payloads(1);
  await world.nats.kill();
  await waitFor(() => world.bridge.condition?.().state === "degraded", { what: "the loss of NATS" });
  raw.ack(raw.batches[0]!.hop);
  raw.send({
    $case: "publish",
    value: app.Publish.fromPartial({ sequence: 1, lane: 2, envelopes: [{ path: "p" }] }),
  });
  raw.send({ $case: "ping", value: { nonce: 1 } });
  await raw.frame("pong");
  expect(raw.frames.some((f) => f.$case === "publishResult")).toBe(false);
  await world.nats.restart();
  await world.owner.waitForAck(instance!.instance, 1);
  expect((await raw.frame("publishResult")).value).toEqual({ sequence: 1, error: undefined });
  world.owner.deliver({ ...share, payloads: ["after"] });
  expect(await raw.payloads(2)).toEqual(["before", "after"]);
});
