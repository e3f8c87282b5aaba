/** Flows as a module of the device desk: one shard per owned partition, what is awaited of its devices, and the answers to whoever asks. */
import { type DeviceRegistryClient, flowPartition } from "@myelin/bus";
import { type Head, subjects, flow as wire } from "@myelin/contract";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { CoreLog, Ownership, Release } from "../core/ports.js";
import type { DeviceMessage, DeviceModule } from "../devices/module.js";
import { type JournalPort, JournalWriter, Replay } from "../journal/journal.js";
import { Attempts } from "./attempts.js";
import { FlowBook } from "./book.js";
import { DeviceWaits } from "./device-waits.js";
import type { FlowTable } from "./flow-table.js";
import { flowCodec } from "./journal.js";
import { FlowShard } from "./shard.js";
import type { StepAction } from "./steps/step.js";

export interface FlowModuleOptions {
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly partitions: number;
  readonly flows: FlowTable;
  readonly actions: ReadonlyMap<string, StepAction>;
  readonly registry: Pick<DeviceRegistryClient, "list">;
  openJournal(partition: number): JournalPort;
  serve(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Release;
  /** Messages are wanted of devices of which none were before: channels are to be looked at anew. */
  onInterest(): void;
}

interface Owned {
  readonly shard: FlowShard;
  readonly waits: DeviceWaits;
  readonly journal: JournalWriter<wire.JournalRecord>;
  readonly book: FlowBook;
  readonly sweeper: Timer;
  readonly release: Release;
}

const LAZY_MS = 20;
const SETTLE_MS = 1_000;
const LOOK_EVERY_MS = 5;
const MAX_LIST = 500;
const SWEEP_MS = 1_000;
const INTEREST_MS = 100;
const MAX_DEVICES = 1_000;

/** One per process. */
export class FlowModule implements DeviceModule {
  readonly name = "flows";
  readonly #owned = new Map<number, Owned>();
  #interest: Timer | undefined;

  constructor(private readonly options: FlowModuleOptions) {}

  /** Runs of the partitions of this process that are not over. */
  get openRuns(): number {
    let sum = 0;
    for (const { book } of this.#owned.values()) sum += book.open.size;
    return sum;
  }

  wants(head: Head): boolean {
    for (const { waits } of this.#owned.values()) if (waits.wants(head)) return true;
    return false;
  }

  async acquire(ownership: Ownership, signal: AbortSignal): Promise<void> {
    const { clock, log, openJournal, serve, flows, actions, partitions } = this.options;
    const { partition, epoch } = ownership;
    const port = openJournal(partition);
    const replay = new Replay<FlowBook, wire.JournalRecord>({
      port,
      log,
      codec: flowCodec,
      empty: () => new FlowBook(),
      apply: (book, record) => book.apply(record),
    });
    await replay.readOn(() => signal.aborted);
    signal.throwIfAborted();
    const { sequence, number, bytes, store: book } = replay;
    const onFenced = (): void => this.#end(partition);
    const collect = (): void => undefined;
    const journal = new JournalWriter<wire.JournalRecord>(
      { port, epoch, clock, log, lazyMs: LAZY_MS, collect, onFenced },
      flowCodec,
      { sequence, number, bytes },
    );
    await journal.begin();
    const shard = new FlowShard({
      book,
      journal,
      attempts: new Attempts(clock, actions),
      clock,
      log,
      flowOf: (name) => flows.get(name),
      flowsHere: () =>
        [...flows.all()].filter(({ flow }) => flowPartition(flow.name, partitions) === partition),
      devicesOf: (tenant, by, wanted) => this.#devicesOf(tenant, by, wanted),
    });
    const waits = new DeviceWaits(clock, () => this.#interestSoon());
    const release = serve(subjects.flowRequest(partition), (data) => {
      if (!ownership.held) throw new AppError("request.no_responder", "the lease has ended");
      return answer(shard, waits, data);
    });
    const sweeper = clock.setInterval(() => waits.sweep(), SWEEP_MS).unref();
    this.#owned.set(partition, { shard, waits, journal, book, sweeper, release });
    shard.open();
  }

  async release(partition: number, settle: boolean): Promise<void> {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return;
    const { clock } = this.options;
    owned.release();
    owned.shard.close();
    const until = clock.nowMs() + (settle ? SETTLE_MS : 0);
    while (!owned.journal.idle && clock.nowMs() < until) await clock.sleep(LOOK_EVERY_MS);
    this.#end(partition);
  }

  onMessage(partition: number, message: DeviceMessage): undefined {
    this.#owned.get(partition)?.waits.onMessage(message);
  }

  /** What is known here does not hold any more. */
  #end(partition: number): void {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return;
    this.#owned.delete(partition);
    owned.release();
    owned.shard.close();
    owned.waits.close();
    owned.journal.close();
    this.options.clock.clear(owned.sweeper);
  }

  /** Looking at all channels anew is dear; many waits that come together do it once. */
  #interestSoon(): void {
    this.#interest ??= this.options.clock.setTimeout(() => {
      this.#interest = undefined;
      this.options.onInterest();
    }, INTEREST_MS);
  }

  async #devicesOf(
    tenant: string,
    by: "group" | "profile" | "list",
    wanted: unknown,
  ): Promise<readonly string[]> {
    if (by === "list") return listed(wanted);
    if (typeof wanted !== "string" || wanted === "")
      throw new AppError("flow.invalid", `the ${by} is no text`);
    const ids: string[] = [];
    for (let after = ""; ; ) {
      const condition = by === "group" ? { groups: [wanted] } : { profile: wanted };
      const { devices, more } = await this.options.registry.list({ tenant, after, limit: 500, ...condition });
      ids.push(...devices.flatMap((device) => (device.enabled ? [device.id] : [])));
      expectFew(ids.length);
      after = devices.at(-1)?.id ?? "";
      if (!more || after === "") return ids;
    }
  }
}

function listed(wanted: unknown): readonly string[] {
  const all = typeof wanted === "string" ? wanted.split(",").map((id) => id.trim()) : wanted;
  if (
    !Array.isArray(all) ||
    !all.every((id): id is string => typeof id === "string" && id !== "" && id.length <= 256)
  )
    throw new AppError("flow.invalid", "the devices are no list of ids");
  const ids = [...new Set(all)];
  expectFew(ids.length);
  return ids;
}

function expectFew(count: number): void {
  if (count > MAX_DEVICES)
    throw new AppError("flow.invalid", `a step is done for ${MAX_DEVICES} devices at most, here are more`);
}

async function answer(shard: FlowShard, waits: DeviceWaits, data: Uint8Array): Promise<Uint8Array> {
  const { request } = wire.Request.decode(data);
  switch (request?.$case) {
    case "start":
      return wire.Run.encode(await shard.start(request.value)).finish();
    case "get":
      return wire.Run.encode(await shard.get(request.value)).finish();
    case "cancel":
      return wire.Run.encode(await shard.cancel(request.value)).finish();
    case "list": {
      const limit = Math.min(MAX_LIST, request.value.limit);
      return wire.RunList.encode(shard.list({ ...request.value, limit })).finish();
    }
    case "describe":
      return wire.FlowList.encode(shard.describe()).finish();
    case "await":
      return wire.Awaited.encode(await waits.await(request.value)).finish();
    case undefined:
      throw new AppError("internal.invalid_argument", "a request about flows that says nothing");
  }
}
