/** The registry: the devices of the partitions that this process owns, and the answers to whoever asks for them. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type control, partitionOf, registry, subjects } from "@myelin/contract";
import { AppError, backoff, type Clock, type Component } from "@myelin/kernel";
import type { CoreLog, Ownership, Release } from "../core/ports.js";
import type { JournalPort } from "../journal/journal.js";
import { BarTeller } from "./bar-teller.js";
import { PresenceBook, type PresenceEvent } from "./presence.js";
import { PresenceJournal } from "./presence-journal.js";
import { DeviceShard } from "./shard.js";
import type { DeviceStore } from "./store.js";
import { DeviceTable, removeTable } from "./table/device-table.js";
import { TableThread } from "./table/table-thread.js";

export interface RegistryOptions {
  readonly store: DeviceStore;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** For the tables, which are found again at the next start; what is not right with them is made anew from the store. */
  readonly directory: string;
  /** What the tables keep in memory, all together; a half for looking up, a half for writing. */
  readonly memoryBytes: number;
  readonly partitions: number;
  /** How long it is known of a deleted device that it may not connect. */
  readonly keepDeletedMs: number;
  /** A device that is back by then was not away. */
  readonly offlineAfterMs: number;
  /** Is a device, by tenant, NUL, id, connected anywhere as far as the listeners have told? */
  readonly isConnected: (partition: number, key: string) => boolean;
  readonly openPresence: (partition: number) => JournalPort;
  publish(subject: string, data: Uint8Array): void;
  serve(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Release;
}

interface Owned {
  readonly ending: AbortController;
  /** Settles when the records are there, or will never be. */
  readonly loaded: PromiseWithResolvers<void>;
  isLoaded: boolean;
  table: DeviceTable | undefined;
  bars: BarTeller | undefined;
  presence: PresenceBook | undefined;
  journal: PresenceJournal | undefined;
  release: Release | undefined;
}

/** Most devices of one request or answer. */
const MAX_DEVICES = 1_000;

/** Attempts to read the records until a table itself is what may be wrong. */
const DOUBTED_AFTER = 3;

const PURGE_EVERY_MS = 5_000;
const PURGE_PAUSE_MS = 50;
const PURGED_AT_ONCE = 100;

/** One per process. */
export class DeviceRegistry implements Component {
  readonly name = "registry";
  readonly #owned = new Map<number, Owned>();
  readonly #presenceListeners: ((event: PresenceEvent) => void)[] = [];
  readonly #listeners: ((tenant?: string, device?: string) => void)[] = [];

  readonly #thread: TableThread;
  /** Of each end of a table. */
  readonly #cacheBytes: number;
  /** Partitions are read one after the other: what they take meanwhile is taken once. */
  #loading: Promise<void> = Promise.resolve();

  constructor(private readonly options: RegistryOptions) {
    const { directory, memoryBytes, partitions, clock } = options;
    this.#cacheBytes = memoryBytes / partitions / 2;
    this.#thread = new TableThread(directory, { cacheBytes: this.#cacheBytes }, clock);
  }

  async start(): Promise<void> {
    await mkdir(this.options.directory, { recursive: true });
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#owned.keys()].map((partition) => this.release(partition)));
    await this.#thread.stop();
    await this.options.store.close();
  }

  /** Devices of the partitions that are loaded here. */
  get size(): number {
    let sum = 0;
    for (const { table } of this.#owned.values()) sum += table?.size ?? 0;
    return sum;
  }

  /** The lease of a partition was taken. What is stored is read in the background; until then its requests find nobody. */
  acquire(ownership: Ownership): void {
    const owned: Owned = {
      ending: new AbortController(),
      loaded: Promise.withResolvers(),
      isLoaded: false,
      table: undefined,
      bars: undefined,
      presence: undefined,
      journal: undefined,
      release: undefined,
    };
    this.#owned.set(ownership.partition, owned);
    void this.#load(owned, ownership);
  }

  /** The lease ends: nothing is answered any more. Resolves when what is known of presence is written down, within a second. */
  async release(partition: number): Promise<void> {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return;
    this.#owned.delete(partition);
    owned.release?.();
    owned.bars?.stop();
    owned.presence?.stop();
    owned.ending.abort();
    owned.loaded.resolve();
    await owned.journal?.stop();
    owned.table?.close();
    owned.table = undefined;
  }

  /** What a listener has told of a device's connections, see `DeviceWatch`. */
  told(partition: number, key: string, change: control.PresenceChange | undefined): void {
    this.#owned.get(partition)?.presence?.told(key, change);
  }

  /** Called with every device of the registry that comes or goes, a few hundred milliseconds later at most; one that is back at once has not gone. */
  onPresence(listener: (event: PresenceEvent) => void): void {
    this.#presenceListeners.push(listener);
  }

  /** Resolves when the records of a partition that was taken are there, or the lease has ended. */
  async loaded(partition: number): Promise<void> {
    await this.#owned.get(partition)?.loaded.promise;
  }

  /** Name of the device's profile, empty when it has none; undefined as long as its record is not there to be looked at. */
  profileOf(tenant: string, device: string): string | undefined {
    const owned = this.#owned.get(partitionOf(tenant, device, this.options.partitions));
    if (owned?.isLoaded !== true) return undefined;
    return owned.table?.get(tenant, device)?.device.profile ?? "";
  }

  /** Called with every device whose record was written or removed, and without one when a partition was taken. */
  onChange(listener: (tenant?: string, device?: string) => void): void {
    this.#listeners.push(listener);
  }

  #changed(tenant?: string, device?: string): void {
    for (const listener of this.#listeners) listener(tenant, device);
  }

  async #load(owned: Owned, ownership: Ownership): Promise<void> {
    const { partition, epoch } = ownership;
    const { clock, log, store, directory } = this.options;
    const waits = backoff({ initialMs: 100, maxMs: 5_000 });
    const { signal } = owned.ending;
    const path = join(directory, `${partition}.db`);
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const table = await this.#open(path);
        owned.table = table;
        const isOwner = (): boolean => ownership.held && !signal.aborted;
        const onChange = this.#changed.bind(this);
        const bars = new BarTeller({ partition, epoch, clock, publish: this.options.publish });
        const journal = new PresenceJournal({
          port: this.options.openPresence(partition),
          ...{ ownership, table, clock, log },
        });
        const presence = this.#presenceBook(partition, table, journal);
        owned.presence = presence;
        const onCreated = (tenant: string, id: string): void => presence.registered(tenant, id);
        const shard = new DeviceShard({
          ...{ partition, store, table, bars, clock, isOwner, onChange, onCreated },
          onBroken: (error) => void this.#again(owned, ownership, error),
        });
        await this.#alone(() => shard.load(signal));
        if (signal.aborted) return;
        await journal.start(signal);
        if (signal.aborted) {
          await journal.stop();
          return;
        }
        owned.journal = journal;
        presence.start();
        // What was told during an attempt that failed is told again.
        if (attempt > 1) this.options.publish(subjects.presenceSync(partition), new Uint8Array(0));
        owned.isLoaded = true;
        owned.loaded.resolve();
        this.#changed();
        owned.release = this.options.serve(subjects.registryRequest(partition), (data) =>
          answer(shard, data),
        );
        owned.bars = bars;
        bars.start();
        void this.#purge(shard, signal);
        return;
      } catch (err) {
        owned.presence?.stop();
        owned.table?.close();
        owned.table = undefined;
        if (signal.aborted) return;
        log.warn({ err, partition }, "the records of devices cannot be read, will retry");
        if (attempt % DOUBTED_AFTER === 0 && !AppError.from(err).code.startsWith("bus."))
          await this.#throwAway(path).catch(() => undefined);
        await clock.sleep(waits.nextMs(), signal).catch(() => undefined);
      }
    }
  }

  /** A table that cannot be opened is made anew. */
  async #open(path: string): Promise<DeviceTable> {
    try {
      return new DeviceTable(path, this.#cacheBytes, this.#thread);
    } catch (err) {
      this.options.log.warn({ err, path }, "the table of devices cannot be used and is made anew");
      await this.#throwAway(path);
      return new DeviceTable(path, this.#cacheBytes, this.#thread);
    }
  }

  async #throwAway(path: string): Promise<void> {
    await this.#thread.forget(path);
    await removeTable(path);
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    const before = this.#loading;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#loading = promise;
    try {
      await before;
      await work();
    } finally {
      resolve();
    }
  }

  /** The table lacks what the store has: it is read again. */
  async #again(owned: Owned, ownership: Ownership, err: AppError): Promise<void> {
    const { partition } = ownership;
    if (this.#owned.get(partition) !== owned) return;
    this.options.log.warn({ err, partition }, "the table of devices cannot be written to, and is read again");
    await this.release(partition);
    if (!ownership.held || this.#owned.has(partition)) return;
    this.acquire(ownership);
    this.options.publish(subjects.presenceSync(partition), new Uint8Array(0));
  }

  #presenceBook(partition: number, table: DeviceTable, journal: PresenceJournal): PresenceBook {
    const { clock, log, offlineAfterMs, isConnected } = this.options;
    return new PresenceBook({
      ...{ table, clock, log, graceMs: offlineAfterMs },
      isConnected: (key) => isConnected(partition, key),
      keep: (kept) => journal.add(kept),
      onEvent: (event) => {
        for (const listener of this.#presenceListeners) listener(event);
      },
    });
  }

  /** Markers go some at a time: each is a request to the store. */
  async #purge(shard: DeviceShard, signal: AbortSignal): Promise<void> {
    const { clock, log, keepDeletedMs } = this.options;
    for (let isMore = false; !signal.aborted; ) {
      await clock.sleep(isMore ? PURGE_PAUSE_MS : PURGE_EVERY_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      try {
        isMore = (await shard.purge(clock.wallMs() - keepDeletedMs, PURGED_AT_ONCE)) === PURGED_AT_ONCE;
      } catch (err) {
        isMore = false;
        log.warn({ err }, "markers of deleted devices cannot be removed, will retry");
      }
    }
  }
}

/** Most keys of one answer: some tens of kilobytes. */
const MAX_BARS = 1_000;

async function answer(shard: DeviceShard, data: Uint8Array): Promise<Uint8Array> {
  const { request } = registry.Request.decode(data);
  switch (request?.$case) {
    case "get":
      expectCount(request.value.keys.length);
      return registry.FoundDevices.encode(shard.get(request.value)).finish();
    case "list": {
      const limit = Math.min(request.value.limit, MAX_DEVICES);
      return registry.FoundDevices.encode(await shard.list({ ...request.value, limit })).finish();
    }
    case "write":
      expectCount(request.value.changes.length);
      return registry.WrittenDevices.encode(await shard.write(request.value)).finish();
    case "bars": {
      const limit = Math.min(request.value.limit, MAX_BARS);
      return registry.Bars.encode(shard.listBars({ ...request.value, limit })).finish();
    }
    case "count":
      return registry.CountedDevices.encode({ devices: await shard.count(request.value) }).finish();
    case undefined:
      throw new AppError("internal.invalid_argument", "a request to the registry that says nothing");
  }
}

function expectCount(count: number): void {
  if (count <= MAX_DEVICES) return;
  throw new AppError("queue.item_too_large", `${count} devices in one request, ${MAX_DEVICES} are taken`);
}
