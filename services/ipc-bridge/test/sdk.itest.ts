import { AppClient } from "@myelin/bus";
import { app, control, Lane, partitionOf, subjects } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { IpcClient, type IpcClientOptions, type Message } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PARTITIONS, startWorld, type TransportName, type World } from "./harness.js";

let world: World;
beforeAll(async () => {
  world = await startWorld({ heartbeat: "300ms", drainTimeout: "1s" });
});
afterAll(() => world[Symbol.asyncDispose]());

let made = 0;
const fresh = (): string => `sdk-${++made}`;

/** The app's name of each client. */
const names = new WeakMap<IpcClient, string>();
const nameOf = (c: IpcClient): string => names.get(c)!;

/** A client that is stopped at the end of its block. */
function client(
  transport: TransportName,
  options: Partial<IpcClientOptions> = {},
): IpcClient & AsyncDisposable {
  const name = fresh();
  const made = new IpcClient({
    app: name,
    target: world.target(transport),
    subscriptions: ["#"],
    stopTimeoutMs: 500,
    reconnect: { initialMs: 20, perMinute: 1_000 },
    ...options,
  });
  names.set(made, name);
  return Object.assign(made, { [Symbol.asyncDispose]: () => made.stop() });
}

describe("a message that is larger than the bridge's frames", () => {
  it("is refused to its sender, and the connection stays", async () => {
    await using small = await startWorld({ maxFrame: "1MiB" });
    const made = new IpcClient({ app: "large", target: small.target("socket") });
    await using c = Object.assign(made, { [Symbol.asyncDispose]: () => made.stop() });
    c.serve("large", () => Buffer.alloc(1_100_000));
    await c.start();
    const payload = Buffer.alloc(1_100_000);
    const tooLarge = { code: "contract.frame_too_large" };
    await expect(c.publishEvent({ path: "p", payload })).rejects.toMatchObject(tooLarge);
    await expect(c.send("d", "p", payload)).rejects.toMatchObject(tooLarge);
    await expect(c.request("platform/ping", payload)).rejects.toMatchObject(tooLarge);
    await expect(c.request("app:large/large")).rejects.toMatchObject(tooLarge);
    await c.publishEvent({ path: "p", payload: "small" });
    expect(c.health()).toMatchObject({ connects: 1, openCalls: 0 });
  });
});

describe.each<TransportName>(["grpc", "socket"])("IpcClient over %s", (transport) => {
  it("is found with what it answers, since when it is there, and its load", async () => {
    await using c = client(transport);
    const name = nameOf(c);
    let answer: (text: string) => void = () => undefined;
    c.serve("plan", () => new Promise<string>((resolve) => (answer = resolve)));
    const beforeMs = Date.now();
    await c.start();
    const finder = new AppClient(world.owner.bus, systemClock);
    const found = async () => (await finder.list()).find((facts) => facts.app === name)?.instances[0];
    expect(await found()).toMatchObject({ serves: ["plan"], healthy: true, inFlight: 0, openRequests: 0 });
    expect((await found())!.sinceMs).toBeGreaterThan(beforeMs - 60_000);
    const asked = c.request(`app:${name}/plan`, "", { timeoutMs: 30_000 });
    await waitFor(async () => (await found())?.openRequests === 1, {
      what: "the open request",
      deadlineMs: 20_000,
    });
    answer("done");
    await asked;
    await c.stop();
    await waitFor(async () => (await found()) === undefined, { what: "its end", deadlineMs: 20_000 });
    await finder.stop();
  });

  it("receives by callback and acknowledges what the handler has done", async () => {
    await using c = client(transport);
    const name = nameOf(c);
    const seen: string[] = [];
    c.onMessage(
      (m) => void seen.push(`${m.deviceId} ${m.path} ${m.text()} ${m.lane} ${m.kind} ${m.protocol}`),
    );
    await c.start();
    const [instance] = await world.owner.waitFor(name);
    world.owner.deliver({
      app: name,
      instance: instance!.instance,
      device: "boiler",
      payloads: ["20.5", "21"],
    });
    await world.owner.waitForAck(instance!.instance, 1);
    expect(seen).toEqual([
      "boiler devices/boiler/reading 20.5 event telemetry mqtt",
      "boiler devices/boiler/reading 21 event telemetry mqtt",
    ]);
    expect(c.health()).toMatchObject({
      state: "connected",
      received: 2,
      handled: 2,
      openBatches: 0,
      bridge: "bridge-0",
    });
  });

  it("does not acknowledge before an async handler has resolved, and keeps the order per device", async () => {
    await using c = client(transport, { concurrency: 2 });
    const name = nameOf(c);
    const begun: string[] = [];
    const open = new Map<string, () => void>();
    c.onMessage(async (m) => {
      begun.push(m.text());
      await new Promise<void>((resolve) => open.set(m.text(), resolve));
    });
    await c.start();
    const [instance] = await world.owner.waitFor(name);
    const share = { app: name, instance: instance!.instance };
    world.owner.deliver({ ...share, device: "a", payloads: ["a1", "a2"] });
    world.owner.deliver({ ...share, device: "b", payloads: ["b1"] });
    await waitFor(() => open.has("b1"), { what: "the other device's message" });
    expect(begun).toEqual(["a1", "b1"]);
    open.get("b1")!();
    open.get("a1")!();
    await waitFor(() => open.has("a2"), { what: "the second message of a" });
    expect(world.owner.ackedSequence(instance!.instance)).toBe(0);
    open.get("a2")!();
    await world.owner.waitForAck(instance!.instance, 2);
  });

  it("receives by batch with a cursor, and events are acknowledged when the app says so", async () => {
    await using c = client(transport);
    const name = nameOf(c);
    const acks: (() => void)[] = [];
    const seen: string[] = [];
    c.onBatch((batch, ack) => {
      for (const m of batch) seen.push(`${m.deviceId}:${m.text()}`);
      acks.push(ack);
    });
    await c.start();
    const [instance] = await world.owner.waitFor(name);
    const share = { app: name, instance: instance!.instance };
    world.owner.deliver({ ...share, device: "a", payloads: ["1", "2"] });
    world.owner.deliver({ ...share, device: "b", payloads: ["3"] });
    world.owner.deliver({ ...share, device: "a", payloads: ["4"], lane: Lane.TELEMETRY });
    await world.owner.waitForAck(instance!.instance, 1, 0, Lane.TELEMETRY);
    expect(seen).toEqual(["a:1", "a:2", "b:3", "a:4"]);
    acks[1]!();
    expect(world.owner.ackedSequence(instance!.instance)).toBe(0);
    acks[0]!();
    await world.owner.waitForAck(instance!.instance, 2);
  });

  it("receives by for await, one message at a time", async () => {
    const c = client(transport);
    const name = nameOf(c);
    const loop = (async () => {
      const seen: string[] = [];
      for await (const m of c.messages()) {
        seen.push(m.text());
        if (seen.length === 2) break;
      }
      for await (const m of c.messages()) seen.push(m.text());
      return seen;
    })();
    await c.start();
    const [instance] = await world.owner.waitFor(name);
    world.owner.deliver({ app: name, instance: instance!.instance, payloads: ["1", "2", "3"] });
    await world.owner.waitForAck(instance!.instance, 1);
    await c.stop();
    // The message that was in hand at the break was not handled, so the next loop gets it again.
    expect(await loop).toEqual(["1", "2", "2", "3"]);
  });

  it("calls a failing handler again and goes on with other devices meanwhile", async () => {
    const failures: string[] = [];
    await using c = client(transport, { onError: (e, m) => void failures.push(`${e.code} ${m?.text()}`) });
    const name = nameOf(c);
    const seen: string[] = [];
    let broken = true;
    c.onMessage((m: Message) => {
      seen.push(m.text());
      if (m.text() === "bad" && broken) throw new Error("not now");
    });
    await c.start();
    const [instance] = await world.owner.waitFor(name);
    const share = { app: name, instance: instance!.instance };
    world.owner.deliver({ ...share, device: "a", payloads: ["bad", "after"] });
    world.owner.deliver({ ...share, device: "b", payloads: ["other"] });
    await waitFor(() => failures.length >= 2, { what: "a second failure" });
    expect(seen).toContain("other");
    expect(seen).not.toContain("after");
    broken = false;
    await world.owner.waitForAck(instance!.instance, 2);
    expect(seen.at(-1)).toBe("after");
    expect(failures[0]).toBe("app.handler_failed bad");
  });

  it("skips, or stops without acknowledging, where the policy says so", async () => {
    await using skipping = client(transport, { onHandlerError: { policy: "skip" } });
    const skippingName = nameOf(skipping);
    skipping.onMessage(() => Promise.reject(new Error("no")));
    await skipping.start();
    const [a] = await world.owner.waitFor(skippingName);
    world.owner.deliver({ app: skippingName, instance: a!.instance, payloads: ["x"] });
    await world.owner.waitForAck(a!.instance, 1);
    expect(skipping.health()).toMatchObject({ skipped: 1, handlerErrors: 1 });

    await using stopping = client(transport, { onHandlerError: { policy: "stop" } });
    const stoppingName = nameOf(stopping);
    stopping.onMessage(() => Promise.reject(new Error("no")));
    await stopping.start();
    const [b] = await world.owner.waitFor(stoppingName);
    world.owner.deliver({ app: stoppingName, instance: b!.instance, payloads: ["x"] });
    await waitFor(() => stopping.state === "stopped", { what: "the stop" });
    expect(world.owner.ackedSequence(b!.instance)).toBe(0);
  });

  it("publishes telemetry and events, and is told what is wrong with one", async () => {
    await using c = client(transport);
    await c.start();
    const device = fresh();
    expect(c.publish({ deviceId: device, path: "alerts", payload: { level: 3 } })).toBe(true);
    const sent = await waitFor(() => world.owner.telemetry.find((e) => e.deviceId === device), {
      what: "the telemetry",
    });
    expect(sent).toMatchObject({ path: "alerts", contentType: "application/json" });
    expect(JSON.parse(Buffer.from(sent.payload).toString())).toEqual({ level: 3 });
    const messages = Array.from({ length: 20_000 }, (_, i) => ({
      deviceId: device,
      path: "done",
      payload: `${i}`,
    }));
    await c.publishEvents(messages);
    expect(c.health()).toMatchObject({ published: 20_001, stored: 20_000, refused: 0 });
    await expect(c.publishEvent({ path: "a/#", payload: "x" })).rejects.toMatchObject({
      code: "contract.bad_envelope",
    });
    await c.publishEvent({ path: "fine", payload: "x", id: "my-own-id" });
  });

  it("asks, answers and sends to devices", async () => {
    await using answering = client(transport);
    const name = nameOf(answering);
    answering.serve("double", (r) => ({ value: 2 * (r.json() as { value: number }).value, from: r.from }));
    answering.serve("broken", () => {
      throw new Error("no idea");
    });
    await answering.start();
    await using asking = client(transport);
    const asker = nameOf(asking);
    await asking.start();
    await world.owner.waitFor(name);
    const reply = await asking.request(`app:${name}/double`, { value: 21 });
    expect(reply.json()).toEqual({ value: 42, from: asker });
    await expect(asking.request(`app:${name}/broken`)).rejects.toMatchObject({
      code: "app.handler_failed",
      message: "no idea",
    });
    await expect(asking.request(`app:${name}/none`)).rejects.toMatchObject({ code: "request.no_responder" });
    answering.serve("late", () => "added while running");
    expect(
      await waitFor(async () => (await asking.request(`app:${name}/late`)).text(), {
        what: "the late method",
      }),
    ).toBe("added while running");

    const device = fresh();
    const end = world.owner.bus.serve(subjects.downlink(partitionOf("", device, PARTITIONS)), (data) => {
      const { waitForDevice } = control.DownlinkRequest.decode(data);
      const state = waitForDevice ? app.SendState.ACKNOWLEDGED : app.SendState.WRITTEN;
      return control.DownlinkResult.encode({ state, error: undefined }).finish();
    });
    await world.owner.bus.flush();
    expect(await asking.send(device, "cmd", "on")).toBe("written");
    expect(await asking.send(device, "cmd", { on: true }, { waitForDevice: true })).toBe("acknowledged");
    end();
    await world.owner.bus.flush();
    await expect(asking.send(device, "cmd", "on")).rejects.toMatchObject({ code: "partition.not_owned" });
  });

  it("leaves a target alone that fails again and again", async () => {
    await using c = client(transport);
    await c.start();
    const codes: string[] = [];
    for (let i = 0; i < 7; i++) await c.request("app:absent/x").catch((e) => codes.push(e.code));
    expect(codes).toEqual([
      ...Array(5).fill("request.no_responder"),
      "operation.circuit_open",
      "operation.circuit_open",
    ]);
    expect((await c.request("platform/ping")).json()).toMatchObject({ bridge: "bridge-0" });
    expect(c.health().openCircuits).toEqual(["app:absent/x"]);
  });

  it("changes its subscriptions without a new connection and its name with one, and loses nothing in hand", async () => {
    await using c = client(transport);
    const name = nameOf(c);
    let release: () => void = () => undefined;
    const seen: string[] = [];
    c.onMessage(async (m) => {
      seen.push(m.text());
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    });
    await c.start();
    const [instance] = await world.owner.waitFor(name);
    await c.reconfigure({ subscriptions: ["plant/#", { filter: "lab/#", kinds: ["event"] }] });
    await waitFor(() => world.owner.instances(name)[0]?.subscriptions.length === 2, {
      what: "the new subscriptions",
    });
    expect(c.health().connects).toBe(1);
    world.owner.deliver({ app: name, instance: instance!.instance, payloads: ["in hand"] });
    await waitFor(() => seen.length === 1, { what: "the message" });
    const moved = c.reconfigure({ instance: "other" });
    await waitFor(() => world.owner.instances(name).length === 0, { what: "the drain" });
    release();
    await moved;
    await world.owner.waitForAck(instance!.instance, 1);
    expect(c.health()).toMatchObject({ connects: 2, instance: "other" });
  });
});

it("comes back after its bridge was away, publishes what waited, and stops in order", async () => {
  await using second = await startWorld({ drainTimeout: "300ms" });
  const name = fresh();
  const states: string[] = [];
  const c = new IpcClient({
    app: name,
    target: second.target("socket"),
    subscriptions: ["#"],
    reconnect: { initialMs: 20, perMinute: 1_000 },
    onStateChange: (s) => states.push(s),
  });
  c.onMessage(() => undefined);
  await c.start();
  await second.bridge.core.drain();
  await waitFor(() => c.state === "reconnecting", { what: "the loss" });
  const stored = c.publishEvent({ path: "while/away", payload: "x" });
  await c.reconfigure({ target: world.target("socket") });
  await stored;
  expect(c.publish({ path: "p", payload: "x" })).toBe(true);
  await c.stop();
  expect(states).toEqual(["connecting", "connected", "reconnecting", "connected", "stopping", "stopped"]);
  expect(c.publish({ path: "p", payload: "x" })).toBe(false);
  await expect(c.publishEvent({ path: "p", payload: "x" })).rejects.toMatchObject({
    code: "operation.aborted",
  });
});

it("fails its start when the bridge will never take it, and when its tries are used up", async () => {
  const refused = new IpcClient({ app: "a/b", target: world.target("socket") });
  await expect(refused.start()).rejects.toMatchObject({ code: "contract.bad_token" });
  expect(refused.state).toBe("failed");
  const lonely = new IpcClient({
    app: "x",
    target: "unix:/nonexistent.sock",
    reconnect: { maxTries: 2, initialMs: 1, perMinute: 100 },
  });
  await expect(lonely.start()).rejects.toMatchObject({ code: "rpc.unavailable" });
  expect(lonely.health()).toMatchObject({ state: "failed", failedTries: 2 });
});
