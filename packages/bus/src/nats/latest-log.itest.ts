import { STREAMS } from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, waitFor } from "@myelin/testkit";
import { afterEach, describe, expect, test } from "vitest";
import type { Bus } from "../api.js";
import { createLatestLog, type LatestEntry, type LatestLog, MAX_LATEST_ENTRIES } from "./latest-log.js";
import { createBus } from "./nats-bus.js";
import { ensureStreams } from "./streams.js";

const MIB = 1024 * 1024;
const STREAM = STREAMS.retained.name;
const subject = (i: number): string => `mln.ret.msg.0.t${i}`;
const entry = (i: number, text: string, ttlMs = 0): LatestEntry => ({
  subject: subject(i),
  data: Buffer.from(text),
  ttlMs,
});
const many = (count: number, text: (i: number) => string): LatestEntry[] =>
  Array.from({ length: count }, (_, i) => entry(i, text(i)));

const started: Bus[] = [];
afterEach(async () => {
  for (const bus of started.splice(0)) await bus.stop();
});

async function open(nats: NatsServer, maxBytes = 64 * MIB): Promise<LatestLog> {
  const bus = createBus({ servers: [nats.url], instance: "test-0", service: "test", logger: silentLogger });
  started.push(bus);
  await bus.start(AbortSignal.timeout(10_000));
  const small = { maxBytes: 64 * MIB };
  await ensureStreams(bus, {
    partitions: 1,
    streams: {
      ...{ events: small, unrouted: small, overflow: small, dedupe: small, sessions: small },
      retained: { maxBytes },
    },
  });
  return createLatestLog(bus, STREAM);
}

async function all(log: LatestLog): Promise<string[]> {
  const found: string[] = [];
  for await (const data of log.read("mln.ret.msg.>", AbortSignal.timeout(20_000))) found.push(String(data));
  return found;
}

describe("the newest messages of subjects", () => {
  test("stored together take the place of what there was, and are there after the server was killed", async () => {
    await using nats = await startNats();
    const log = await open(nats);
    const first = many(MAX_LATEST_ENTRIES, (i) => `first ${i}`);
    await log.storeAll(first);
    await log.storeAll(many(20, (i) => `second ${i}`).reverse());
    await log.storeAll([entry(30, "alone")]);
    await nats.kill();
    await nats.restart();
    await waitFor(() => started[0]!.connected, { what: "the connection" });
    const expected = first.map(({ data }, i) => (i < 20 ? `second ${i}` : i === 30 ? "alone" : String(data)));
    await waitFor(
      () =>
        all(log).then(
          (found) => found.length === expected.length,
          () => false,
        ),
      { what: "the stream" },
    );
    expect((await all(log)).sort()).toEqual(expected.sort());
  });

  test("that may be kept for a time alone are forgotten by the stream", async () => {
    await using nats = await startNats();
    const log = await open(nats);
    await log.storeAll([entry(1, "stays"), entry(2, "goes", 1_000), entry(3, "stays too", 3_600_000)]);
    expect(await all(log)).toEqual(["stays", "goes", "stays too"]);
    await waitFor(async () => (await all(log)).length === 2, { what: "the one to go" });
    expect(await log.get(subject(2))).toBeUndefined();
  });

  test("that have no room together are refused together, and nothing is stored", async () => {
    await using nats = await startNats();
    const log = await open(nats, MIB);
    const large = many(20, () => "x".repeat(100_000));
    await expect(log.storeAll(large)).rejects.toMatchObject({ code: "bus.stream_full" });
    expect(await all(log)).toEqual([]);
    await log.store(large[0]!);
    expect((await all(log)).length).toBe(1);
  });

  test("more than the stream takes together are refused", async () => {
    await using nats = await startNats();
    const log = await open(nats);
    const refused = log.storeAll(many(MAX_LATEST_ENTRIES + 1, String));
    await expect(refused).rejects.toMatchObject({ code: "bus.refused" });
    expect(await all(log)).toEqual([]);
  });
});
