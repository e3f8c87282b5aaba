import { app, control, envelope, Kind, Lane, Protocol, partitionOf, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PARTITIONS, startWorld, type TransportName, type World } from "./harness.js";
import { connectApp, type RawApp } from "./raw-app.js";

let world: World;
beforeAll(async () => {
  world = await startWorld({
    publish: { rate: 1_000, burst: 2_000 },
    health: { interval: "50ms" },
    drainTimeout: "500ms",
  });
});
afterAll(() => world[Symbol.asyncDispose]());

let made = 0;
const fresh = (): string => `app-${++made}`;

function publish(raw: RawApp, sequence: number, lane: Lane, envelopes: Partial<envelope.Envelope>[]): void {
  const value = { sequence, lane, envelopes: envelopes.map((e) => envelope.Envelope.create(e)) };
  raw.send({ $case: "publish", value });
}

async function result(raw: RawApp, sequence: number): Promise<app.PublishResult> {
  return await waitFor(
    () =>
      raw.frames
        .flatMap((f) => (f.$case === "publishResult" ? [f.value] : []))
        .find((r) => (r.error === undefined ? r.sequence >= sequence : r.sequence === sequence)),
    { what: `the result of publish ${sequence}` },
  );
}

async function request(raw: RawApp, change: Partial<app.Request>): Promise<app.Response> {
  const value = app.Request.create({ id: 5, timeoutMs: 500, ...change });
  raw.send({ $case: "request", value });
  return await waitFor(
    () => raw.frames.flatMap((f) => (f.$case === "response" ? [f.value] : [])).find((r) => r.id === value.id),
    { what: `the response to ${value.target}` },
  );
}

describe.each<TransportName>(["grpc", "socket"])("an app over %s", (transport) => {
  it("publishes telemetry with the bridge as producer and its own head", async () => {
    const name = fresh();
    using raw = await connectApp(world.target(transport), { app: name });
    publish(raw, 1, Lane.TELEMETRY, [
      { deviceId: name, path: "alerts/fire", payload: Buffer.from("hot"), contentType: "text/plain" },
      { path: "alerts/self", payload: Buffer.from("me"), headers: [{ name: "a", value: "b" }], qos: 1 },
    ]);
    expect(await result(raw, 1)).toEqual({ sequence: 1, error: undefined });
    const sent = await waitFor(
      () => {
        const found = world.owner.telemetry.filter((e) => e.deviceId === name);
        return found.length === 2 && found;
      },
      { what: "both envelopes" },
    );
    expect(sent[0]).toMatchObject({ path: "alerts/fire", contentType: "text/plain", kind: Kind.TELEMETRY });
    expect(sent[1]).toMatchObject({ path: "alerts/self", headers: [{ name: "a", value: "b" }], qos: 1 });
    for (const e of sent) {
      expect(e.protocol).toBe(Protocol.APP);
      expect(e.id).toHaveLength(16);
      expect(e.ingestTimeUs).toBeGreaterThan(0);
    }
  });

  it("learns that events are stored, in order and once for many", async () => {
    using raw = await connectApp(world.target(transport), { app: fresh() });
    const before = world.bridge.core.lanes.events.counters.stored;
    for (let i = 1; i <= 20; i++) {
      publish(raw, i, Lane.EVENT, [{ deviceId: `d${i}`, path: "done", id: Buffer.from(`id-${i}`) }]);
    }
    expect((await result(raw, 20)).error).toBeUndefined();
    expect(world.bridge.core.lanes.events.counters.stored - before).toBe(20);
    const sequences = raw.frames.flatMap((f) => (f.$case === "publishResult" ? [f.value.sequence] : []));
    expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
  });

  it("may not say what the platform tells devices about commands and shadows", async () => {
    const name = fresh();
    using raw = await connectApp(world.target(transport), { app: name });
    publish(raw, 1, Lane.EVENT, [
      { path: "$aws/commands/things/boiler/executions/1/request/json", deviceId: "boiler" },
    ]);
    expect((await result(raw, 1)).error?.message).toContain("belongs to commands and shadows");
  });

  it("has a bad envelope refused with its publish as a whole, and the stream goes on", async () => {
    const name = fresh();
    using raw = await connectApp(world.target(transport), { app: name });
    const good = { deviceId: name, path: "ok" };
    const cases: Partial<envelope.Envelope>[] = [
      { path: "" },
      { path: "a/+/b" },
      { path: "a\0b" },
      { path: "ok", deviceId: "x".repeat(70_000) },
      { path: "ok", headers: Array.from({ length: 9_000 }, () => ({ name: "name", value: "a value" })) },
      { path: "ok", headers: [{ name: "name", value: "a\0b" }] },
      { path: "ok", headers: [{ name: "name", value: "x".repeat(70_000) }] },
      { path: "ok", responsePath: "a/+" },
      { path: "ok", quality: -1 },
      { path: "ok", correlation: Buffer.alloc(70_000) },
    ];
    let sequence = 0;
    for (const bad of cases) {
      publish(raw, ++sequence, Lane.TELEMETRY, [good, bad, good]);
      const { error } = await result(raw, sequence);
      expect(error?.code).toBe("contract.bad_envelope");
      expect(JSON.parse(error!.detailsJson)).toEqual({ index: 1 });
    }
    publish(raw, ++sequence, 3 as Lane, [good]);
    expect((await result(raw, sequence)).error?.code).toBe("contract.bad_envelope");
    publish(raw, ++sequence, Lane.TELEMETRY, [good]);
    expect((await result(raw, sequence)).error).toBeUndefined();
    await waitFor(() => world.owner.telemetry.filter((e) => e.deviceId === name).length === 1, {
      what: "the one good envelope",
    });
  });

  it("is told when it is faster than its rate", async () => {
    using raw = await connectApp(world.target(transport), { app: fresh() });
    const many = (count: number) => Array.from({ length: count }, () => ({ path: "x" }));
    publish(raw, 1, Lane.TELEMETRY, many(1_900));
    publish(raw, 2, Lane.TELEMETRY, many(1_900));
    publish(raw, 3, Lane.TELEMETRY, many(10));
    expect((await result(raw, 2)).error).toMatchObject({ code: "limit.rate", retryable: true });
    expect((await result(raw, 3)).error).toBeUndefined();
  });

  it("asks another app, whoever of its instances and bridges it is", async () => {
    const name = fresh();
    using answering = await connectApp(world.target("socket"), { app: name, serves: ["sum"] });
    using asking = await connectApp(world.target(transport), { app: fresh() });
    await world.owner.waitFor(name);
    const answer = request(asking, { target: `app:${name}/sum`, payload: Buffer.from("1+1") });
    const asked = await answering.frame("request");
    expect(asked.value).toMatchObject({ target: "sum", from: `app-${made}`, payload: Buffer.from("1+1") });
    answering.send({
      $case: "response",
      value: { id: asked.value.id, payload: Buffer.from("2"), contentType: "text/plain", error: undefined },
    });
    expect(await answer).toMatchObject({ id: 5, payload: Buffer.from("2"), contentType: "text/plain" });
  });

  it("gets an error when nobody answers, when nothing comes in time, and for what is no target", async () => {
    const name = fresh();
    using silent = await connectApp(world.target("socket"), { app: name, serves: ["sleep"] });
    using asking = await connectApp(world.target(transport), { app: fresh() });
    await world.owner.waitFor(name);
    const cases = [
      [`app:${name}/sleep`, "request.timeout"],
      [`app:${name}/other`, "request.no_responder"],
      ["app:nobody-at-all/x", "request.no_responder"],
      ["platform/nothing", "request.no_responder"],
      ["somewhere", "contract.bad_token"],
    ] as const;
    for (const [i, [target, code]] of cases.entries()) {
      const response = await request(asking, { id: 100 + i, target, timeoutMs: 200 });
      expect([target, response.error?.code]).toEqual([target, code]);
    }
    expect(silent.closed).toBe(false);
  });

  it("asks the platform who is there", async () => {
    const name = fresh();
    using raw = await connectApp(world.target(transport), { app: name, instance: "i1" });
    await world.owner.waitFor(name);
    const ping = await request(raw, { id: 1, target: "platform/ping" });
    expect(JSON.parse(Buffer.from(ping.payload).toString())).toMatchObject({
      bridge: "bridge-0",
      version: "test",
    });
    const apps = await request(raw, { id: 2, target: "platform/apps" });
    const { apps: list } = JSON.parse(Buffer.from(apps.payload).toString());
    expect(list).toContainEqual({
      app: name,
      instances: [expect.objectContaining({ bridge: "bridge-0", healthy: true })],
    });
  });

  it("sends to a device through the owner of its partition, and learns what became of it", async () => {
    const device = fresh();
    const seen: control.DownlinkRequest[] = [];
    const end = world.owner.bus.serve(subjects.downlink(partitionOf("", device, PARTITIONS)), (data) => {
      seen.push(control.DownlinkRequest.decode(Buffer.from(data)));
      if (seen.length === 2) throw new AppError("device.not_connected", `${device} is not connected`);
      return control.DownlinkResult.encode({ state: app.SendState.ACKNOWLEDGED, error: undefined }).finish();
    });
    await world.owner.bus.flush();
    using raw = await connectApp(world.target(transport), { app: fresh() });
    const send = async (id: number, deviceId: string): Promise<app.SendResult> => {
      const value = app.SendToDevice.create({
        id,
        deviceId,
        path: "cmd",
        payload: Buffer.from("on"),
        waitForDevice: true,
        timeoutMs: 500,
      });
      raw.send({ $case: "send", value });
      return await waitFor(
        () => raw.frames.flatMap((f) => (f.$case === "sendResult" ? [f.value] : [])).find((r) => r.id === id),
        { what: `the result of send ${id}` },
      );
    };
    expect(await send(1, device)).toEqual({ id: 1, state: app.SendState.ACKNOWLEDGED, error: undefined });
    expect(seen[0]).toMatchObject({
      deviceId: device,
      path: "cmd",
      payload: Buffer.from("on"),
      waitForDevice: true,
    });
    expect(await send(2, device)).toMatchObject({
      state: app.SendState.REFUSED,
      error: { code: "device.not_connected" },
    });
    end();
    await world.owner.bus.flush();
    expect((await send(3, device)).error?.code).toBe("partition.not_owned");
    expect((await send(4, "")).error?.code).toBe("contract.bad_envelope");
  });

  it("loses its work after three bad health answers and gets it back after three good ones", async () => {
    const name = fresh();
    using raw = await connectApp(world.target(transport), { app: name });
    await world.owner.waitFor(name);
    raw.healthy = false;
    await world.owner.waitFor(name, 0);
    raw.healthy = true;
    await world.owner.waitFor(name, 1);
    raw.healthy = undefined;
    await world.owner.waitFor(name, 0);
  });
});
