/** The outbox of a hardware-agent, on this machine's disk and before a real event stream. */
import { createBus, createEventSender, ensureStreams } from "@myelin/bus";
import { createChannel, EMPTY_HEAD } from "@myelin/contract";
import {
  diskFolder,
  Outbox,
  type OutboxLimits,
  type OutboxRecord,
  type Uplink,
} from "@myelin/hardware-agent";
import { type AppError, systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { startNats, tempDir, waitFor } from "@myelin/testkit";
import type { Running } from "../systems/system.js";
import { type Figures, significant } from "./stats.js";

const MIB = 2 ** 20;
/** As an answer of a unit with so many registers, ten bytes each. */
const SAMPLES = 60;
const RECORD = Buffer.alloc(SAMPLES * 10);
/** Live readings while replayed ones go out, and before. */
const LIVE_EVERY_MS = 5;
const WARM_UP_MS = 3_000;
const QUIET_MS = 10_000;
/** 102,000 samples a second. */
const STEADY_EVERY_MS = 10;
const STEADY_RECORDS = 17;
const PACE = 50_000;
const DEADLINE_MS = 280_000;

const LIMITS: OutboxLimits = {
  maxBytes: 4_096 * MIB,
  segmentBytes: 16 * MIB,
  pendingBytes: 8 * MIB,
  syncAfterMs: 100,
  liveBytes: 4 * MIB,
  memoryBytes: 8 * MIB,
  windowBytes: MIB,
  replaySamplesPerSecond: PACE,
  stalledAfterMs: 30_000,
};

/** An outbox with a hub that is away until it is let in. */
export interface OutboxRig extends Running {
  readonly outbox: Outbox;
  readonly uplink: StreamUplink;
}

/** The event stream of a NATS server; notes how long live records take from `append` on. */
class StreamUplink implements Uplink {
  isOpen = false;
  readonly liveMs: number[] = [];
  /** When the live record under way was appended. */
  appendedMs: number | undefined;
  readonly #settled = new Map<number, { tell: Parameters<Uplink["send"]>[1]; sinceMs: number | undefined }>();
  readonly #sender: ReturnType<typeof createEventSender>;
  readonly #channel = createChannel(1, { ...EMPTY_HEAD, deviceId: "line-1" }, 0);

  constructor(sender: ReturnType<typeof createEventSender>) {
    this.#sender = sender;
  }

  send(
    { ordinal, payload, replayed }: OutboxRecord,
    tell: (ordinal: number, error?: AppError) => void,
  ): void {
    const sinceMs = replayed ? undefined : this.appendedMs;
    if (!replayed) this.appendedMs = undefined;
    this.#settled.set(ordinal, { tell, sinceMs });
    this.#sender.append(this.#channel, payload, 0, payload.length, this, ordinal, { replayed });
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      const { tell, sinceMs } = this.#settled.get(numbers[i]!)!;
      this.#settled.delete(numbers[i]!);
      if (sinceMs !== undefined) this.liveMs.push(performance.now() - sinceMs);
      tell(numbers[i]!, error);
    }
  }
}

/** With a disk folder and a NATS server of its own. */
export async function openOutbox(): Promise<OutboxRig> {
  await using stack = new AsyncDisposableStack();
  const nats = stack.use(await startNats());
  const dir = stack.use(await tempDir("bench-outbox"));
  const bus = createBus({ servers: [nats.url], instance: "agent", service: "bench", logger: silentLogger });
  await bus.start(AbortSignal.timeout(10_000));
  stack.defer(() => bus.stop());
  const small = { maxBytes: 16 * MIB };
  const streams = { events: { maxBytes: 1_024 * MIB }, unrouted: small, overflow: small, dedupe: small };
  await ensureStreams(bus, { partitions: 1, streams });
  const sender = createEventSender(bus, { partitions: 1 });
  await sender.start(AbortSignal.timeout(10_000));
  stack.defer(() => sender.stop());
  const uplink = new StreamUplink(sender);
  const folder = diskFolder(dir.join("outbox"));
  const outbox = new Outbox({ folder, clock: systemClock, logger: silentLogger, uplink, limits: LIMITS });
  await outbox.start(AbortSignal.timeout(10_000));
  stack.defer(() => outbox.stop());
  const open = stack.move();
  return {
    version: process.version,
    outbox,
    uplink,
    pids: () => [process.pid],
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** So many samples to the disk while the hub is away, each written before it counts. */
export async function measureKeeping({ outbox }: OutboxRig, samples: number): Promise<Figures> {
  const began = performance.now();
  const cpu = process.cpuUsage();
  for (let kept = 0; kept < samples; ) {
    // What polls of a busy agent bring in a few milliseconds.
    for (const end = Math.min(samples, kept + 100 * SAMPLES); kept < end; kept += SAMPLES)
      outbox.append(RECORD, SAMPLES);
    await outbox.log.written();
  }
  await outbox.log.synced();
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    kept_per_second: significant(samples / seconds),
    cpu_us_per_sample: significant((user + system) / samples),
  };
}

/** How long samples are without a sync at the rate that an outbox must bear, not at the one that the disk hardly bears. */
export async function measureSteady({ outbox }: OutboxRig): Promise<Figures> {
  const ticking = setInterval(() => {
    for (let i = 0; i < STEADY_RECORDS; i++) outbox.append(RECORD, SAMPLES);
  }, STEADY_EVERY_MS);
  await systemClock.sleep(QUIET_MS);
  clearInterval(ticking);
  return { longest_unsynced_ms: significant(outbox.log.counters.longestUnsyncedMs) };
}

/** The hub comes back: live records at their pace before, and while the backlog goes out. */
export async function measureReplay(rig: OutboxRig, backlog: number): Promise<Figures> {
  const { outbox, uplink } = rig;
  uplink.isOpen = true;
  await liveWhile(rig, async () => systemClock.sleep(WARM_UP_MS));
  const quiet = await liveWhile(rig, async () => systemClock.sleep(QUIET_MS));
  uplink.isOpen = false;
  await measureKeeping(rig, backlog);
  const before = outbox.counters.replayed;
  uplink.isOpen = true;
  const began = performance.now();
  let seconds = 0;
  const busy = await liveWhile(rig, async () => {
    const isOut = (): boolean => outbox.counters.replayed - before >= backlog;
    await waitFor(isOut, { what: "the backlog to go out", deadlineMs: DEADLINE_MS });
    seconds = (performance.now() - began) / 1_000;
  });
  return {
    replayed_per_second: significant(backlog / seconds),
    live_p99_ms: significant(quiet),
    live_p99_replaying_ms: significant(busy),
    live_p99_ratio: significant(busy / quiet),
  };
}

/** The p99 of live records from `append` to the stream's answer. */
async function liveWhile({ outbox, uplink }: OutboxRig, work: () => Promise<void>): Promise<number> {
  uplink.liveMs.length = 0;
  const ticking = setInterval(() => {
    uplink.appendedMs ??= performance.now();
    outbox.append(RECORD, SAMPLES);
  }, LIVE_EVERY_MS);
  await work();
  clearInterval(ticking);
  await waitFor(() => uplink.appendedMs === undefined, { what: "the last live record", deadlineMs: 10_000 });
  const sorted = uplink.liveMs.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)]!;
}
