import { STREAMS, subjects } from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats } from "@myelin/testkit";
import { afterEach, describe, expect, test } from "vitest";
import type { Bus } from "../api.js";
import { createFencedLog } from "./fenced-log.js";
import { createBus } from "./nats-bus.js";
import { ensureStreams } from "./streams.js";
import { createSubjectLog } from "./subject-log.js";

const started: Bus[] = [];
afterEach(async () => {
  for (const bus of started.splice(0)) await bus.stop();
});

async function open(nats: NatsServer): Promise<Bus> {
  const bus = createBus({ servers: [nats.url], instance: "test-0", service: "test", logger: silentLogger });
  started.push(bus);
  await bus.start(AbortSignal.timeout(10_000));
  const small = { maxBytes: 64 * 1024 * 1024 };
  const streams = {
    events: small,
    unrouted: small,
    overflow: small,
    dedupe: small,
    sessions: small,
    retained: small,
  };
  await ensureStreams(bus, { partitions: 1, streams });
  return bus;
}

describe("a log with one writer per subject", () => {
  test("takes what comes behind the message that its writer knows as the last one, and nothing else", async () => {
    await using nats = await startNats();
    const bus = await open(nats);
    const log = createFencedLog(bus);
    const subject = subjects.commandJournal(0);
    const first = await log.append(subject, Buffer.from("first"), 0);
    const second = await log.append(subject, Buffer.from("second"), first);
    await expect(log.append(subject, Buffer.from("late"), first)).rejects.toMatchObject({
      code: "bus.conflict",
    });
    const stored = await createSubjectLog(bus, STREAMS.commands.name).read(subject, 1, {
      messages: 9,
      bytes: 9_999,
    });
    expect(stored.map(({ sequence, data }) => [sequence, String(data)])).toEqual([
      [first, "first"],
      [second, "second"],
    ]);
  });

  test("says why something is not stored", async () => {
    await using nats = await startNats();
    const bus = await open(nats);
    const log = createFencedLog(bus);
    const large = Buffer.alloc(bus.maxPayloadBytes);
    await expect(log.append(subjects.commandJournal(0), large, 0)).rejects.toMatchObject({
      code: "bus.too_large",
    });
    await expect(log.append("nobody.stores.this", Buffer.from("x"), 0)).rejects.toMatchObject({
      code: "bus.stream_unavailable",
      retryable: true,
    });
  });
});
