import { createChannel, EMPTY_HEAD, partitionOf } from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import {
  type ManagedProcess,
  type NatsServer,
  sourceArguments,
  startNats,
  startProcess,
  waitFor,
} from "@myelin/testkit";
import { expect, test } from "vitest";
import type { EventTicket } from "../api.js";
import { createEventSender } from "./event-transport.js";
import { createBus } from "./nats-bus.js";
import { ensureStreams } from "./streams.js";

const PARTITIONS = 4;
const EVENTS_PER_ROUND = 20;
const MIB = 1024 * 1024;

/** One line of an owner's process: it held the partition at that moment, and perhaps had these events. */
interface Line {
  readonly partition: number;
  readonly epoch: number;
  readonly us: number;
  readonly numbers?: readonly number[];
  readonly again?: boolean;
}

function startOwner(nats: NatsServer, instance: string): Promise<ManagedProcess> {
  const program = new URL("../testcases/owner-process.ts", import.meta.url);
  return startProcess({
    name: instance,
    command: process.execPath,
    args: [...sourceArguments(program), nats.url, instance, String(PARTITIONS)],
    ready: { line: /ready/ },
  });
}

/** What the process has said in its current run; the log keeps the newest lines only, so look often. */
class Reader {
  readonly lines: Line[] = [];
  readonly #known = new Set<string>();

  look(...owners: readonly ManagedProcess[]): this {
    for (const owner of owners) {
      for (const text of owner.stdout) {
        // A killed process may leave half a line.
        if (!text.includes("epoch") || !text.endsWith("}") || this.#known.has(text)) continue;
        this.#known.add(text);
        this.lines.push(JSON.parse(text) as Line);
      }
    }
    return this;
  }
  get delivered(): Set<number> {
    return new Set(this.lines.flatMap(({ numbers }) => numbers ?? []));
  }
}

test("owners that are killed, frozen and stopped never overlap, and every stored event is delivered in order", async () => {
  await using nats = await startNats();
  const bus = createBus({ servers: [nats.url], instance: "source", service: "test", logger: silentLogger });
  await bus.start(AbortSignal.timeout(10_000));
  const small = { maxBytes: 64 * MIB };
  const streams = { events: small, unrouted: small, overflow: small, dedupe: small };
  await ensureStreams(bus, { partitions: PARTITIONS, streams });
  const sender = createEventSender(bus, { partitions: PARTITIONS });
  await sender.start(AbortSignal.timeout(10_000));
  const channels = Array.from({ length: 16 }, (_, i) =>
    createChannel(i + 1, { ...EMPTY_HEAD, deviceId: `d${i}` }, partitionOf("", `d${i}`, PARTITIONS)),
  );
  let next = 0;
  let stored = 0;
  const ticket: EventTicket = {
    settled: (_numbers, from, to, error) => {
      if (error === undefined) stored += to - from;
    },
  };
  const loading = setInterval(() => {
    for (let i = 0; i < EVENTS_PER_ROUND; i++) {
      const payload = Buffer.alloc(4);
      payload.writeUInt32LE(next);
      sender.append(channels[next % channels.length]!, payload, 0, 4, ticket, next++);
    }
  }, 20);

  await using first = await startOwner(nats, "dispatcher-0");
  await using second = await startOwner(nats, "dispatcher-1");
  const reader = new Reader();
  const looking = setInterval(() => reader.look(first, second), 50);
  /** Both work: each has had events of its partitions since now. */
  const shared = async (): Promise<void> => {
    const from = next;
    const owners = (run: ManagedProcess): Set<number> =>
      new Set(
        run.stdout
          .filter((text) => text.includes("numbers") && text.endsWith("}"))
          .map((text) => JSON.parse(text) as Line)
          .filter(({ numbers }) => (numbers?.at(-1) ?? 0) > from)
          .map(({ partition }) => partition),
      );
    const all = () => owners(first).size >= 2 && owners(second).size >= 2;
    await waitFor(all, { what: "both owners to work", deadlineMs: 60_000 });
  };
  try {
    await shared();
    reader.look(first, second);
    await first.kill();
    const before = next;
    const alone = () =>
      new Set(
        reader
          .look(second)
          .lines.filter((l) => (l.numbers?.at(-1) ?? 0) > before)
          .map((l) => l.partition),
      ).size === PARTITIONS;
    await waitFor(alone, { what: "the survivor to take everything", deadlineMs: 30_000 });
    await first.start();
    await shared();
    await second.pause();
    const frozen = next;
    const others = () =>
      new Set(
        reader
          .look(first)
          .lines.filter((l) => (l.numbers?.at(-1) ?? 0) > frozen)
          .map((l) => l.partition),
      ).size === PARTITIONS;
    await waitFor(others, { what: "the other to take everything", deadlineMs: 30_000 });
    second.resume();
    await shared();
    reader.look(first, second);
    await second.stop();
    clearInterval(loading);
    await waitFor(() => stored === next, { what: "the last answers", deadlineMs: 30_000 });
    await waitFor(() => reader.look(first).delivered.size === next, {
      what: "the last events",
      deadlineMs: 30_000,
    });
  } finally {
    clearInterval(loading);
    clearInterval(looking);
    await sender.stop();
    await bus.stop();
  }

  for (let p = 0; p < PARTITIONS; p++) {
    const lines = reader.lines.filter((line) => line.partition === p).sort((a, b) => a.us - b.us);
    // Overlapping owners would show as an older epoch after a newer one: the clock is one for all processes.
    const epochs = lines.map((line) => line.epoch);
    expect(epochs).toEqual([...epochs].sort((a, b) => a - b));
    expect(new Set(epochs).size).toBeGreaterThan(2);
    const fresh = lines
      .filter((line) => line.numbers !== undefined && !line.again)
      .flatMap((line) => line.numbers!);
    const repeated = lines.filter((line) => line.again).flatMap((line) => line.numbers!);
    expect(fresh).toEqual([...new Set([...fresh])].sort((a, b) => a - b));
    const known = new Set([...fresh, ...repeated]);
    expect([...known].every((n) => channels[n % channels.length]!.partition === p)).toBe(true);
  }
  expect(reader.delivered.size).toBe(next);
}, 240_000);
