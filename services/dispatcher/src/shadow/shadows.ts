/** The module of shadows: what devices ask and measure, and what programs ask of the owner of a partition. */
import type { Bus } from "@myelin/bus";
import { type Head, Kind, partitionOf, subjects, shadow as wire } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { Profile } from "@myelin/profile";
import type { CoreLog, Ownership, Release } from "../core/ports.js";
import type { DeviceMessage, DeviceModule } from "../devices/module.js";
import type { ShadowChanged, ShadowFeed, ShadowKey } from "./api.js";
import type { CommandDriverOptions } from "./command-driver.js";
import { answerDevice } from "./device-requests.js";
import { type EdgeShadows, HubLink } from "./hub-link.js";
import { ShadowPartition } from "./partition.js";
import { answerProgram } from "./programs.js";
import type { ShadowBudget, ShadowCounters } from "./shard.js";
import { mergeRecord, ownRecord } from "./sites.js";
import type { ShadowStore } from "./store.js";
import { isOfThings, parseShadowTopic, type ShadowTopic } from "./topics.js";
import type { Voice } from "./voice.js";

export interface ShadowsOptions {
  readonly store: ShadowStore;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly voice: Voice;
  /** What is held in memory, of all partitions together. */
  readonly memoryBytes: number;
  readonly partitions: number;
  readonly gatherMs: number;
  readonly mirror: "never" | "desired" | "always";
  /** "unknown" while the records of devices are being read. */
  profileOf(tenant: string, device: string): Profile | "unknown" | undefined;
  readonly commands: CommandDriverOptions["commands"];
  /** The hub's NATS, not started; left out: there is no hub above. */
  readonly hub?: Bus | undefined;
  publish(subject: string, data: Uint8Array): boolean;
  serve(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Release;
}

const SETTLE_MS = 3_000;
/** Only what was measured is reported. */
const MEASURED: ReadonlySet<Kind> = new Set([Kind.UNSPECIFIED, Kind.TELEMETRY, Kind.EVENT]);

interface Owned {
  readonly partition: ShadowPartition;
  readonly release: Release;
}

type Listener = (partition: number, change: ShadowChanged) => void;

/** One per process. */
export class Shadows implements DeviceModule, ShadowFeed {
  readonly name = "shadows";
  readonly counters: ShadowCounters = { readings: 0, dropped: 0, loads: 0, writes: 0, evictions: 0 };
  readonly budget: ShadowBudget;
  readonly #owned = new Map<number, Owned>();
  readonly #listeners = new Set<Listener>();

  /** Of an edge node; started and stopped with the others. */
  readonly hubLink: HubLink | undefined;

  constructor(private readonly options: ShadowsOptions) {
    this.budget = { bytes: options.memoryBytes, used: 0 };
    const { hub: bus, clock, log } = options;
    if (bus !== undefined) this.hubLink = new HubLink({ bus, clock, log, shadows: this.#edgeShadows() });
  }

  /** A device has connected: the hub may know of it what we do not. */
  online(tenant: string, device: string): void {
    this.hubLink?.touch({ tenant, device, name: "" });
  }

  /** Shadows in memory, and devices that do not follow. */
  get figures(): { readonly shadows: number; readonly drifting: number } {
    let shadows = 0;
    let drifting = 0;
    for (const { partition } of this.#owned.values()) {
      shadows += partition.shard.size;
      drifting += partition.reconciler.size;
    }
    return { shadows, drifting };
  }

  onChange(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  wants({ path }: Head): boolean {
    return parseShadowTopic(path) !== undefined;
  }

  async acquire(ownership: Ownership): Promise<void> {
    const { store, clock, log, voice, gatherMs, mirror, profileOf, commands, publish, serve } = this.options;
    const partition = new ShadowPartition({
      ownership,
      store,
      clock,
      log,
      budget: this.budget,
      counters: this.counters,
      gatherMs,
      mirror,
      voice,
      profileOf,
      commands,
      site: this.hubLink === undefined ? "hub" : "edge",
      touched: (key) => this.#touched(ownership.partition, key),
      publish,
      changed: (number, change) => {
        for (const listener of this.#listeners) listener(number, change);
      },
      isHeard: () => this.#listeners.size > 0,
    });
    partition.start();
    const release = serve(subjects.shadowRequest(ownership.partition), (data) =>
      answerProgram(partition, data),
    );
    this.#owned.set(ownership.partition, { partition, release });
    this.hubLink?.lookThrough();
  }

  async release(number: number, settle: boolean): Promise<void> {
    const owned = this.#owned.get(number);
    if (owned === undefined) return;
    this.#owned.delete(number);
    owned.release();
    await owned.partition.close(settle ? SETTLE_MS : 0);
  }

  onMessage(number: number, message: DeviceMessage): Promise<void> | undefined {
    const partition = this.#owned.get(number)?.partition;
    if (partition === undefined) {
      throw new AppError("target.unavailable", `partition ${number} is not held by this process`);
    }
    if (isOfThings(message.path)) {
      const topic = parseShadowTopic(message.path);
      return topic === undefined ? undefined : this.#onRequest(partition, message, topic);
    }
    const { samples, tenant, device, profile, kind } = message;
    // What we say ourselves may look like a reading too.
    if (samples.length === 0 || !MEASURED.has(kind)) return undefined;
    const { shard } = partition;
    if (message.isEvent) return shard.measureStored(tenant, device, samples, profile);
    shard.measure(tenant, device, samples, profile, partition.isUrgent(tenant, device));
    return undefined;
  }

  #edgeShadows(): EdgeShadows {
    const { options } = this;
    const find = (key: ShadowKey): ShadowPartition | undefined =>
      this.#owned.get(partitionOf(key.tenant, key.device, options.partitions))?.partition;
    const owned = this.#owned;
    return {
      recordOf: async (key) => {
        const partition = find(key);
        return partition && (await ownRecord(partition, key));
      },
      merge: async (key, record) => {
        const partition = find(key);
        if (partition !== undefined) await mergeRecord(partition, key, record);
      },
      async *keys(signal) {
        for (const number of [...owned.keys()])
          for await (const { record } of options.store.read(number, signal)) {
            const { tenant, device, name } = record;
            yield { tenant, device, name };
          }
      },
    };
  }

  #touched(partition: number, key: ShadowKey): void {
    if (this.hubLink !== undefined) {
      this.hubLink.touch(key);
      return;
    }
    const { tenant, device, name } = key;
    const news = wire.Request.encode({ partition, tenant, device, name, request: undefined }).finish();
    this.options.publish(subjects.sharedShadow(partition), news);
  }

  #onRequest(
    partition: ShadowPartition,
    message: DeviceMessage,
    topic: ShadowTopic,
  ): Promise<void> | undefined {
    if (!message.isEvent) {
      answerDevice(partition, message, topic, () => undefined);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      answerDevice(partition, message, topic, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}
