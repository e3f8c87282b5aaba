import { AppError } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Bus } from "../api.js";
import { type BusOptions, createBus } from "./nats-bus.js";

let nats: NatsServer;
const open: Bus[] = [];

beforeAll(async () => {
  nats = await startNats({ jetstream: false });
});
afterAll(async () => {
  await Promise.all(open.map((bus) => bus.stop()));
  await nats[Symbol.asyncDispose]();
});

async function connected(options: Partial<BusOptions> = {}): Promise<Bus> {
  const bus = createBus({
    servers: [nats.url],
    instance: "test-0",
    service: "test",
    logger: silentLogger,
    ...options,
  });
  open.push(bus);
  await bus.start(AbortSignal.timeout(10_000));
  return bus;
}

const text = (data: Uint8Array): string => Buffer.from(data).toString();

test("passes messages to subscribers, also to those who subscribed before the start", async () => {
  const bus = createBus({ servers: [nats.url], instance: "early", service: "test", logger: silentLogger });
  open.push(bus);
  const got: string[] = [];
  bus.subscribe("greetings.*", (data, subject) => got.push(`${subject} ${text(data)}`));
  expect(bus.publish("greetings.a", Buffer.from("lost"))).toBe(false);
  await bus.start(AbortSignal.timeout(10_000));
  expect(bus.publish("greetings.b", Buffer.from("hello"))).toBe(true);
  await waitFor(() => got.length > 0, { what: "the greeting" });
  expect(got).toEqual(["greetings.b hello"]);
});

test("shares the messages of a queue group and ends a subscription for good", async () => {
  const bus = await connected();
  let first = 0;
  let second = 0;
  const end = bus.subscribe("work", () => first++, { queue: "workers" });
  bus.subscribe("work", () => second++, { queue: "workers" });
  for (let i = 0; i < 100; i++) bus.publish("work", Buffer.from("x"));
  await waitFor(() => first + second === 100, { what: "all work" });
  expect(Math.min(first, second)).toBeGreaterThan(0);
  end();
  end();
  const before = first;
  for (let i = 0; i < 20; i++) bus.publish("work", Buffer.from("x"));
  await waitFor(() => first + second === 120, { what: "the rest" });
  expect(first).toBe(before);
});

test("survives a handler that throws", async () => {
  const bus = await connected();
  const got: string[] = [];
  bus.subscribe("trap", (data) => {
    if (text(data) === "bad") throw new AppError("internal.unexpected", "on purpose");
    got.push(text(data));
  });
  bus.publish("trap", Buffer.from("bad"));
  bus.publish("trap", Buffer.from("good"));
  await waitFor(() => got.length === 1, { what: "the good message" });
});

test("answers requests and carries errors with code, details and retry flag", async () => {
  const bus = await connected();
  bus.serve("twice", (data) => Buffer.from(text(data).repeat(2)));
  bus.serve("fails", () => {
    throw new AppError("device.not_connected", "no connection of pump-1", { details: { device: "pump-1" } });
  });
  expect(text(await bus.request("twice", Buffer.from("ab"), 1000))).toBe("abab");
  await expect(bus.request("fails", Buffer.alloc(0), 1000)).rejects.toMatchObject({
    code: "device.not_connected",
    message: "no connection of pump-1",
    details: { device: "pump-1" },
    retryable: true,
  });
  await expect(bus.request("nobody", Buffer.alloc(0), 1000)).rejects.toMatchObject({
    code: "request.no_responder",
  });
  bus.subscribe("silent", () => undefined);
  await expect(bus.request("silent", Buffer.alloc(0), 50)).rejects.toMatchObject({ code: "request.timeout" });
});

test("collects the answers of many and leaves out those that failed", async () => {
  const bus = await connected();
  for (const name of ["a", "b", "c"]) bus.serve("who", () => Buffer.from(name));
  bus.serve("who", () => {
    throw new AppError("queue.full", "not me");
  });
  const ask = (maxAnswers?: number) =>
    bus.requestMany("who", Buffer.alloc(0), { timeoutMs: 5_000, ...(maxAnswers ? { maxAnswers } : {}) });
  expect((await ask()).map(text).sort()).toEqual(["a", "b", "c"]);
  expect(await ask(2)).toHaveLength(2);
  expect(await bus.requestMany("nobody", Buffer.alloc(0), { timeoutMs: 5_000 })).toEqual([]);
});

test("says no to a message that is too large and goes on", async () => {
  const bus = await connected();
  const got: number[] = [];
  bus.subscribe("sizes", (data) => got.push(data.length));
  expect(bus.publish("sizes", Buffer.alloc(bus.maxPayloadBytes + 1))).toBe(false);
  expect(bus.publish("sizes", Buffer.alloc(bus.maxPayloadBytes))).toBe(true);
  await waitFor(() => got.length === 1, { what: "the largest message" });
  expect(got).toEqual([bus.maxPayloadBytes]);
});

test("bounds what waits in this process while NATS does not read", async () => {
  await using frozen = await startNats({ jetstream: false });
  const limit = 4 * 1024 * 1024;
  const bus = await connected({ servers: [frozen.url], maxWaitingBytes: limit });
  let received = 0;
  bus.subscribe("flood", () => received++);
  await bus.flush();
  await frozen.pause();
  const block = Buffer.alloc(64 * 1024);
  let accepted = 0;
  while (accepted * block.length < 100 * limit && bus.publish("flood", block)) accepted++;
  expect(accepted * block.length).toBeGreaterThan(limit / 2);
  expect(accepted * block.length).toBeLessThanOrEqual(limit);
  frozen.resume();
  await waitFor(() => received === accepted, { what: "what was accepted" });
  await waitFor(() => bus.publish("flood", block), { what: "room again" });
});

test("notices a frozen server, comes back by itself and keeps its subscriptions", async () => {
  await using server = await startNats({ jetstream: false });
  const bus = await connected({ servers: [server.url] });
  const changes: boolean[] = [];
  const got: string[] = [];
  bus.onConnectionChange((up) => changes.push(up));
  bus.subscribe("later", (data) => got.push(text(data)));
  await server.kill();
  await waitFor(() => !bus.connected, { what: "the loss to be noticed" });
  expect(bus.publish("later", Buffer.from("lost"))).toBe(false);
  expect(bus.condition?.().state).toBe("degraded");
  await expect(bus.request("later", Buffer.alloc(0), 1000)).rejects.toMatchObject({
    code: "bus.disconnected",
  });
  await server.restart();
  await waitFor(() => bus.connected, { what: "the connection", deadlineMs: 15_000 });
  expect(bus.publish("later", Buffer.from("kept"))).toBe(true);
  await waitFor(() => got.length === 1, { what: "the message after the restart" });
  await server.pause();
  await waitFor(() => !bus.connected, { what: "the silence to be noticed", deadlineMs: 15_000 });
  server.resume();
  await waitFor(() => bus.connected, { what: "the connection", deadlineMs: 15_000 });
  expect(changes).toEqual([false, true, false, true]);
  expect(got).toEqual(["kept"]);
});

test("gives up its start when the signal aborts and starts no connection after a stop", async () => {
  const bus = createBus({
    servers: ["nats://127.0.0.1:1"],
    instance: "x",
    service: "test",
    logger: silentLogger,
  });
  await expect(bus.start(AbortSignal.timeout(200))).rejects.toMatchObject({
    name: expect.any(String) as string,
  });
  await bus.stop();
  await bus.stop();
  await expect(bus.start(AbortSignal.timeout(1_000))).rejects.toMatchObject({ code: "operation.aborted" });
});
