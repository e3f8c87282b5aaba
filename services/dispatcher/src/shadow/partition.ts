/** The shadows of one partition with all that goes with a change: condition, news, mirror, watchers, reconciler. */
import { subjects, shadow as wire } from "@myelin/contract";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { Profile } from "@myelin/profile";
import type { CoreLog, Ownership } from "../core/ports.js";
import type { ShadowChanged, ShadowKey } from "./api.js";
import { CommandDriver, type CommandDriverOptions, type Failure } from "./command-driver.js";
import { conditionAs, conditionOf, toleranceOf } from "./condition.js";
import { changeDocument, deltaDocument, snapshotOf, wholeDocument } from "./documents.js";
import type { Gathered } from "./gather.js";
import type { JsonObject } from "./json.js";
import { Reconciler } from "./reconciler.js";
import { fromRecord, type StoredShadow } from "./records.js";
import { divide, settersOf, type Ways } from "./setters.js";
import { type ShadowBudget, type ShadowCounters, ShadowShard, type ShadowTask } from "./shard.js";
import type { Site } from "./stamp.js";
import type { ShadowStore } from "./store.js";
import { shadowTopic } from "./topics.js";
import type { Voice } from "./voice.js";

export interface PartitionOptions {
  readonly ownership: Ownership;
  readonly store: ShadowStore;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly budget: ShadowBudget;
  readonly counters: ShadowCounters;
  readonly gatherMs: number;
  readonly mirror: "never" | "desired" | "always";
  readonly voice: Voice;
  /** "unknown" while the records of devices are being read. */
  profileOf(tenant: string, device: string): Profile | "unknown" | undefined;
  readonly commands: CommandDriverOptions["commands"];
  readonly site: Site;
  /** A shadow has changed that the other site is to hear of. */
  touched(key: ShadowKey): void;
  publish(subject: string, data: Uint8Array): boolean;
  changed(partition: number, change: ShadowChanged): void;
  /** Somebody wants to be told of changes. */
  isHeard(): boolean;
}

const TICK_MS = 250;
/** A watcher asks again well within this. */
const WATCH_MS = 30_000;
const MAX_WATCHED = 10_000;
/** Shadows of a device that have a name, deleted ones that are still remembered among them. */
const MAX_NAMED = 32;
/** How long the version of a deleted shadow is remembered. */
const REMEMBER_GONE_US = 48 * 3_600 * 1e6;
const MAX_REASON_CHARS = 512;
/** Told so often without any reaction. */
const MANY_ATTEMPTS = 5;

export class ShadowPartition {
  readonly shard: ShadowShard;
  readonly reconciler: Reconciler;
  readonly #driver: CommandDriver;
  readonly #watched = new Map<string, number>();
  /** Named shadows that are being looked for, so that requests stay in order. */
  readonly #lookups = new Map<string, Promise<void>>();
  /** By device: the last one that looks whether there is room for another named shadow. */
  readonly #turns = new Map<string, Promise<void>>();
  /** By device: named shadows that are being made and not stored yet. */
  readonly #made = new Map<string, Set<string>>();
  readonly #ending = new AbortController();
  #tick: Timer | undefined;

  constructor(readonly options: PartitionOptions) {
    const { ownership, store, clock, log, budget, counters, gatherMs, voice, commands } = options;
    const { partition, epoch } = ownership;
    this.shard = new ShadowShard({
      partition,
      epoch,
      store,
      site: options.site,
      clock,
      log,
      budget,
      counters,
      gatherMs,
      measured: (key, shadow, gathered) => this.#measured(key, shadow, gathered),
      settle: (key, shadow) => this.#settle(key, shadow),
      stored: (key, shadow) => this.#stored(key, shadow),
    });
    this.#driver = new CommandDriver({
      commands,
      signal: this.#ending.signal,
      ended: (key, failure, isOld) => this.#ended(key, failure, isOld),
    });
    this.reconciler = new Reconciler({
      nowMs: () => clock.nowMs(),
      isBusy: (key) => this.#driver.isBusy(key),
      isConnected: ({ tenant, device }) => voice.isConnected(partition, tenant, device),
      drive: (key, attempt) => this.#drive(key, attempt),
      reachable: (key, isReachable) => this.#reachable(key, isReachable),
    });
  }

  get number(): number {
    return this.options.ownership.partition;
  }

  start(): void {
    const { clock } = this.options;
    this.shard.start();
    this.#tick = clock.setInterval(() => this.reconciler.tick(), TICK_MS).unref();
    void this.#warm();
  }

  async close(deadlineMs: number): Promise<void> {
    this.options.clock.clear(this.#tick);
    this.#ending.abort();
    await this.shard.close(deadlineMs);
  }

  /** Somebody looks at it, or its device is being driven: what it measures is stored soon. */
  isUrgent(tenant: string, device: string): boolean {
    return (
      (this.#watched.size > 0 && this.#watched.has(`${tenant}\0${device}\0`)) ||
      this.reconciler.isDriven(tenant, device)
    );
  }

  watch(key: ShadowKey): void {
    const { clock } = this.options;
    const nowMs = clock.nowMs();
    if (this.#watched.size >= MAX_WATCHED)
      for (const [name, untilMs] of this.#watched) if (untilMs < nowMs) this.#watched.delete(name);
    if (this.#watched.size >= MAX_WATCHED) throw new AppError("limit.rate", "too many shadows are watched");
    this.#watched.set(nameOf(key), nowMs + WATCH_MS);
  }

  /** Puts a task behind those of its shadow; a named one that is made by it must have room beside the others. */
  submit(key: ShadowKey, task: ShadowTask, makes: boolean): void {
    const name = nameOf(key);
    const running = this.#lookups.get(name);
    if (key.name === "" || (running === undefined && (!makes || this.shard.isThere(key)))) {
      this.shard.submit(key, task);
      return;
    }
    const lookup = (running ?? Promise.resolve())
      .then(() => this.#inTurn(key, makes))
      .then(
        () => this.shard.submit(key, makes ? this.#making(key, task) : task),
        (thrown: unknown) => task.refused(AppError.from(thrown)),
      )
      .finally(() => {
        if (this.#lookups.get(name) === lookup) this.#lookups.delete(name);
      });
    this.#lookups.set(name, lookup);
  }

  deltaOf(key: ShadowKey, { document }: StoredShadow): JsonObject | undefined {
    if (document.desired.live === 0) return undefined;
    const profile = this.options.profileOf(key.tenant, key.device);
    return document.delta(toleranceOf(key, profile === "unknown" ? undefined : profile));
  }

  /** The whole document for programs. */
  documentOf(key: ShadowKey, shadow: StoredShadow): wire.Document {
    const { document, condition } = shadow;
    const whole = wholeDocument(snapshotOf(document), this.deltaOf(key, shadow), this.options.clock.wallUs());
    return {
      json: Buffer.from(JSON.stringify(whole)),
      version: document.version,
      gone: document.isGone,
      condition,
    };
  }

  /** Brings the device to what is desired of it, where that is anything: by commands that set its points, and by telling it the rest. */
  tellDelta(key: ShadowKey, shadow: StoredShadow, clientToken?: string): void {
    const delta = this.deltaOf(key, shadow);
    this.reconciler.note(key, delta, true);
    if (delta !== undefined) this.#bring(key, shadow, delta, clientToken);
  }

  #bring(key: ShadowKey, shadow: StoredShadow, delta: JsonObject, clientToken?: string): void {
    const { clock, voice } = this.options;
    const { tenant, device, name } = key;
    const ways = this.#waysOf(key, delta);
    // Told when its profile is known.
    if (ways === undefined) return;
    if (ways.wanted.length > 0 && voice.isConnected(this.number, tenant, device))
      this.#driver.drive(key, ways.wanted);
    if (ways.told === undefined) return;
    const news = {
      ...deltaDocument(shadow.document, ways.told, clock.wallUs()),
      ...(clientToken !== undefined && { clientToken }),
    };
    voice.tell(this.number, tenant, device, shadowTopic({ device, name, verb: "update" }, "delta"), news);
  }

  #waysOf({ tenant, device, name }: ShadowKey, delta: JsonObject): Ways | undefined {
    const profile = name === "" ? this.options.profileOf(tenant, device) : undefined;
    if (profile === "unknown") return undefined;
    return profile === undefined ? { wanted: [], told: delta } : divide(delta, settersOf(profile));
  }

  /** A command by which a point was to be set is over. */
  #ended(key: ShadowKey, failure: Failure | undefined, isOld: boolean): void {
    this.reconciler.ended(key, isOld);
    if (failure === undefined || isOld) return;
    const { clock, voice } = this.options;
    const run = (shadow: StoredShadow): (() => void) => {
      if (this.deltaOf(key, shadow) !== undefined) {
        const isConnected = voice.isConnected(this.number, key.tenant, key.device);
        const state = !isConnected ? "unreachable" : failure.isRejected ? "conflict" : "drifted";
        const reason = failure.reason.slice(0, MAX_REASON_CHARS);
        shadow.condition = conditionAs(shadow.condition, state, reason, clock.wallMs());
      }
      return () => undefined;
    };
    this.shard.submit(key, { run, refused: () => undefined });
  }

  #measured(key: ShadowKey, { document }: StoredShadow, gathered: Gathered): () => void {
    const { counters, voice, clock } = this.options;
    const { tenant, device, name } = key;
    const path = shadowTopic({ device, name, verb: "update" }, "documents");
    const isWanted = voice.isWanted(tenant, device, path);
    const previous = isWanted ? snapshotOf(document) : undefined;
    if (!document.measure(gathered)) counters.dropped += gathered.size;
    if (previous === undefined) return () => undefined;
    const current = snapshotOf(document);
    return () =>
      voice.tell(this.number, tenant, device, path, changeDocument(previous, current, clock.wallUs()));
  }

  #settle(key: ShadowKey, shadow: StoredShadow): void {
    const { voice, clock } = this.options;
    const { document } = shadow;
    if (document.isGone || document.desired.live === 0) {
      shadow.condition = document.isGone
        ? undefined
        : conditionAs(shadow.condition, "synced", "", clock.wallMs());
      return;
    }
    const isConnected = voice.isConnected(this.number, key.tenant, key.device);
    const delta = this.deltaOf(key, shadow);
    shadow.condition = conditionOf(shadow.condition, delta, isConnected, clock.wallMs());
  }

  #stored(key: ShadowKey, shadow: StoredShadow): void {
    const { publish, changed, isHeard, mirror, voice } = this.options;
    const { document, condition } = shadow;
    const hasDesired = document.desired.live > 0;
    if (hasDesired || this.reconciler.size > 0)
      this.reconciler.note(key, hasDesired ? this.deltaOf(key, shadow) : undefined, false);
    if (document.isShared) this.options.touched(key);
    const name = nameOf(key);
    const { tenant, device } = key;
    const isWatched = this.#isWatched(name);
    const isMirrored = mirror === "always" || (mirror === "desired" && (hasDesired || document.isGone));
    if (isWatched || isMirrored) {
      const news = this.documentOf(key, shadow);
      if (isWatched)
        publish(
          subjects.shadowChange(this.number, tenant, device, key.name),
          wire.Document.encode(news).finish(),
        );
      if (isMirrored)
        voice.publish(
          tenant,
          device,
          mirrorTopic(key),
          document.isGone ? new Uint8Array(0) : news.json,
          true,
        );
    }
    if (!isHeard()) return;
    changed(this.number, {
      key,
      version: document.version,
      desired: document.desired.json,
      reported: document.reported.json,
      delta: this.deltaOf(key, shadow),
      condition,
      isGone: document.isGone,
    });
  }

  #isWatched(name: string): boolean {
    const untilMs = this.#watched.get(name);
    if (untilMs === undefined) return false;
    if (untilMs >= this.options.clock.nowMs()) return true;
    this.#watched.delete(name);
    return false;
  }

  #drive(key: ShadowKey, attempt: number): void {
    const { clock } = this.options;
    const run = (shadow: StoredShadow): (() => void) => {
      const { condition } = shadow;
      const delta = this.deltaOf(key, shadow);
      const isToldAlone = delta !== undefined && this.#waysOf(key, delta)?.wanted.length === 0;
      if (attempt >= MANY_ATTEMPTS && condition?.state === "drifted" && isToldAlone)
        shadow.condition = conditionAs(
          condition,
          "drifted",
          `the device was told ${MANY_ATTEMPTS} times and does not follow`,
          clock.wallMs(),
        );
      return () => {
        this.reconciler.note(key, delta, false);
        if (delta !== undefined) this.#bring(key, shadow, delta);
      };
    };
    this.shard.submit(key, { run, refused: () => undefined });
  }

  #reachable(key: ShadowKey, isReachable: boolean): void {
    const { clock } = this.options;
    const run = (shadow: StoredShadow): (() => void) => {
      const { condition } = shadow;
      if (isReachable && condition?.state === "unreachable")
        shadow.condition = conditionAs(
          condition,
          "drifted",
          "the device was told and has not followed yet",
          clock.wallMs(),
        );
      else if (!isReachable && condition?.state === "drifted")
        shadow.condition = conditionAs(
          condition,
          "unreachable",
          "the device is not connected",
          clock.wallMs(),
        );
      return () => undefined;
    };
    this.shard.submit(key, { run, refused: () => undefined });
  }

  /** Finds those whose devices are to be driven, and fills the memory as far as it goes. Nobody waits for it. */
  async #warm(): Promise<void> {
    const { store, clock, log } = this.options;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      try {
        for await (const found of store.read(this.number, signal)) {
          const { record } = found;
          const key = { tenant: record.tenant, device: record.device, name: record.name };
          if (record.gone) {
            if (record.updatedAtUs + REMEMBER_GONE_US < clock.wallUs() && !this.shard.has(key))
              await store.remove(this.number, key, found.revision).catch(() => undefined);
            continue;
          }
          this.shard.warm(key, found);
          const state = record.condition?.state;
          if (state === undefined || state === "synced") continue;
          const shadow = fromRecord(record);
          this.reconciler.note(key, this.deltaOf(key, shadow), false);
        }
        return;
      } catch (err) {
        log.debug({ err, partition: this.number }, "shadows cannot be read ahead, will retry");
        await clock.sleep(1_000, signal).catch(() => undefined);
      }
    }
  }

  /** The task, by which the name counts among those of its device until it is stored. */
  #making(key: ShadowKey, task: ShadowTask): ShadowTask {
    const end = (): void => {
      const device = deviceOf(key);
      const names = this.#made.get(device);
      names?.delete(key.name);
      if (names?.size === 0) this.#made.delete(device);
    };
    return {
      run: (shadow) => {
        const stored = task.run(shadow);
        return () => {
          end();
          stored();
        };
      },
      refused: (error) => {
        end();
        task.refused(error);
      },
    };
  }

  /** One at a time for a device: what one of them makes counts for the next one, stored or not. */
  async #inTurn(key: ShadowKey, makes: boolean): Promise<void> {
    if (!makes || this.shard.isThere(key)) return;
    const device = deviceOf(key);
    const before = this.#turns.get(device);
    const turn = (before ?? Promise.resolve()).then(() => this.#expectRoom(key));
    const ended = turn.catch(() => undefined);
    this.#turns.set(device, ended);
    try {
      await turn;
    } finally {
      if (this.#turns.get(device) === ended) this.#turns.delete(device);
    }
  }

  async #expectRoom(key: ShadowKey): Promise<void> {
    const { tenant, device, name } = key;
    // Those that are stored while the store is being asked may be missing in its answer.
    const before = [...(this.#made.get(deviceOf(key)) ?? [])];
    const all = await this.options.store.ofDevice(this.number, tenant, device);
    const made = this.#made.get(deviceOf(key)) ?? new Set<string>();
    const names = new Set([...before, ...made, ...all.map(({ record }) => record.name)]);
    names.delete("");
    if (names.size >= MAX_NAMED && !names.has(name)) {
      throw new AppError(
        "shadow.too_large",
        `${device} has ${names.size} named shadows; ${MAX_NAMED} are taken`,
      );
    }
    this.#made.set(deviceOf(key), made.add(name));
  }
}

/** Where the document of a shadow is retained. */
export function mirrorTopic({ device, name }: ShadowKey): string {
  return name === "" ? `devices/${device}/shadow` : `devices/${device}/shadows/${name}`;
}

function deviceOf({ tenant, device }: ShadowKey): string {
  return `${tenant}\0${device}`;
}

function nameOf({ tenant, device, name }: ShadowKey): string {
  return `${tenant}\0${device}\0${name}`;
}
