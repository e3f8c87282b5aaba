import { app, encodeAppFrame, Lane } from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import { expect, it } from "vitest";
import { startWorld } from "./harness.js";
import { connectApp, connectRaw, HELLO } from "./raw-app.js";

it("takes frames of 64 MiB where it is told to, and refuses a larger one", async () => {
  await using large = await startWorld({
    maxFrame: "64MiB",
    publish: { maxUnsettledSize: "128MiB" },
    heartbeat: "10m",
    health: { interval: "10m" },
  });
  using sender = await connectApp(large.target("socket"), { app: "large" });
  using remote = await connectApp(large.target("grpc"), { app: "remote" });
  const payload = Buffer.alloc(3 * 1024 * 1024, "x");
  const publish = (count: number): Buffer => {
    const envelopes = Array.from({ length: count }, (_, i) => ({ path: `large/${i}`, payload }));
    const value = app.Publish.fromPartial({ sequence: 1, lane: Lane.TELEMETRY, envelopes });
    return Buffer.from(encodeAppFrame({ $case: "publish", value }));
  };
  const fits = publish(21);
  expect(fits.length).toBeGreaterThan(63 * 1024 * 1024);
  sender.stream.send(fits);
  const result = await waitFor(() => sender.frames.find((f) => f.$case === "publishResult"), {
    what: "the result of the large publish",
    deadlineMs: 30_000,
  });
  expect(result.value).toEqual({ sequence: 1, error: undefined });
  remote.stream.send(publish(22));
  await waitFor(() => remote.closed, { what: "the end of the larger one's stream", deadlineMs: 30_000 });
  sender.send({ $case: "ping", value: { nonce: 1 } });
  await sender.frame("pong");
});

it("serves a thousand apps at once, each with its own, and refuses one more by name", async () => {
  await using crowded = await startWorld({ heartbeat: "10m", health: { interval: "10m" } });
  const target = crowded.target("socket");
  const apps = await Promise.all(
    Array.from({ length: 1_000 }, async (_, i) => {
      const raw = await connectRaw(target);
      raw.send({ $case: "hello", value: { ...HELLO, app: `crowd-${i}` } });
      return raw;
    }),
  );
  const announced = await waitFor(
    () => {
      const { instances } = crowded.owner.announced.get("bridge-0")!;
      return instances.length === 1_000 && instances;
    },
    { what: "a thousand announced apps", deadlineMs: 30_000 },
  );
  using late = await connectRaw(target);
  late.send({ $case: "hello", value: HELLO });
  expect((await late.frame("error")).value.code).toBe("limit.connections");
  for (const { app: name, instance } of announced) {
    crowded.owner.deliver({ app: name, instance, payloads: [name] });
  }
  await waitFor(() => apps.every((each) => each.received.length > 0), {
    what: "a message at each app",
    deadlineMs: 30_000,
  });
  for (const [i, each] of apps.entries()) {
    expect(each.received).toEqual([`crowd-${i}`]);
    each.ack(each.batches[0]!.hop);
  }
  await waitFor(
    () => crowded.bridge.ledger.snapshot().accounts.reduce((sum, x) => sum + x.forwarded, 0) === 1_000,
    { what: "a thousand acknowledgements", deadlineMs: 30_000 },
  );
  for (const each of apps) each[Symbol.dispose]();
});

it("refuses subscriptions that would keep the other apps from being announced", async () => {
  await using full = await startWorld({ heartbeat: "10m", health: { interval: "10m" } });
  using modest = await connectApp(full.target("socket"), { app: "modest" });
  const subscriptions = Array.from({ length: 1_000 }, (_, i) => ({
    ...HELLO.subscriptions[0]!,
    filter: `${"x".repeat(240)}/${i}`,
  }));
  const greedy = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const raw = await connectRaw(full.target("socket"));
      raw.send({ $case: "hello", value: { ...HELLO, app: `greedy-${i}`, subscriptions } });
      return raw;
    }),
  );
  await waitFor(() => greedy.every((raw) => raw.frames.length > 0), {
    what: "an answer to each",
    deadlineMs: 30_000,
  });
  const refused = greedy.filter((raw) => raw.frames[0]!.$case === "error");
  expect(refused.length).toBeGreaterThan(0);
  for (const raw of refused) expect((await raw.frame("error")).value.code).toBe("limit.connections");
  await full.owner.waitFor("modest");
  // Whoever leaves gives the room back.
  for (const raw of greedy) raw[Symbol.dispose]();
  await waitFor(() => full.bridge.core.streams === 1, { what: "the greedy apps' end" });
  using next = await connectApp(full.target("socket"), { app: "next", subscriptions });
  await full.owner.waitFor("next");
  expect([modest.closed, next.closed]).toEqual([false, false]);
});
