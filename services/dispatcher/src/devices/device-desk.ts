/** Holds the modules that act on the messages of devices, per partition of this process, and gives them what the router sends here. */
import { BATCH_FLAGS, type BatchView, type Head, isSampleBlock, Lane, Quality } from "@myelin/contract";
import { AppError, backoff, type Clock } from "@myelin/kernel";
import type { SampleQuality } from "@myelin/profile";
import type { CoreLog, Ownership } from "../core/ports.js";
import { causesOf } from "./causes.js";
import type { DeviceProfiles } from "./device-profiles.js";
import type { DeviceMessage, DeviceModule } from "./module.js";

export interface DeviceDeskOptions {
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly profiles: DeviceProfiles;
  /** Resolves when the records of the devices of a partition are there. */
  readonly recordsOf: (partition: number) => Promise<void>;
}

/** Whether messages of a channel come to the desk: `maybe` while the records are being read, so that none is missed. */
export type DeskInterest = "yes" | "maybe" | "no";

interface Owned {
  readonly ending: AbortController;
  /** Resolves when the modules have what is stored; rejects when the lease ends before. */
  readonly ready: Promise<void>;
}

/** How long the desk works before others get their turn. */
const SLICE_MS = 5;

/** One per process. */
export class DeviceDesk {
  /** What went wrong in a module by a defect, so that a message had no effect there. */
  defects = 0;
  readonly #modules: DeviceModule[] = [];
  readonly #owned = new Map<number, Owned>();

  constructor(private readonly options: DeviceDeskOptions) {}

  /** Called before the first partition is taken. */
  add(module: DeviceModule): void {
    this.#modules.push(module);
  }

  /** Some module asks for messages with this head, whatever profile the device has. */
  wants(head: Head): boolean {
    return this.#modules.some((module) => module.wants(head));
  }

  /** Asked once per channel. */
  interest(head: Head): DeskInterest {
    if (head.deviceId === "") return "no";
    if (this.wants(head)) return "yes";
    if (this.#modules.length === 0) return "no";
    const profile = this.options.profiles.of(head.tenant, head.deviceId);
    if (profile === "unknown") return "maybe";
    if (profile === undefined) return "no";
    return isSampleBlock(head.protocol, head.contentType) || profile.reads(head.path) ? "yes" : "no";
  }

  /** The lease of a partition was taken. What is stored is read in the background, and messages wait. */
  acquire(ownership: Ownership): void {
    const ending = new AbortController();
    const ready = this.#load(ownership, ending.signal);
    // Whoever waits for it is told; nobody may.
    ready.catch(() => undefined);
    this.#owned.set(ownership.partition, { ending, ready });
  }

  /** The lease ends. */
  async release(partition: number, settle: boolean): Promise<void> {
    const owned = this.#owned.get(partition);
    if (owned === undefined) return;
    this.#owned.delete(partition);
    owned.ending.abort(new AppError("operation.aborted", `partition ${partition} is given up`));
    await owned.ready.catch(() => undefined);
    const ends = this.#modules.map((module) => module.release(partition, settle));
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === "rejected")
        this.options.log.warn({ err: end.reason as unknown, partition }, "a module could not settle");
    }
  }

  /**
   * Takes the envelopes of a batch in order, and resolves when all modules have had them. What followed from them is safe when `safe`
   * resolves: batches that come next need not wait for that. It rejects with a retryable AppError where the batch must come again.
   * @throws AppError retryable: the batch must come again
   */
  async take(view: BatchView, partition: number, again: boolean): Promise<{ readonly safe: Promise<void> }> {
    await this.#ready(partition);
    const { clock, log } = this.options;
    const isRedelivered = again || (view.hop.flags & BATCH_FLAGS.redelivered) !== 0;
    const effects: Promise<void>[] = [];
    let untilMs = clock.nowMs() + SLICE_MS;
    while (view.next()) {
      const message = this.#messageOf(view, isRedelivered);
      for (const module of this.#modules) {
        try {
          const effect = module.onMessage(partition, message);
          if (effect !== undefined) {
            // Awaited below, maybe turns later: nobody may take it for one that nobody waits for.
            effect.catch(() => undefined);
            effects.push(effect);
          }
        } catch (err) {
          this.defects += 1;
          log.error({ err, module: module.name }, "a message of a device had no effect because of a defect");
        }
      }
      if (clock.nowMs() < untilMs) continue;
      await new Promise(setImmediate);
      if (!this.#owned.has(partition)) throw released(partition);
      untilMs = clock.nowMs() + SLICE_MS;
    }
    return { safe: effects.length > 0 ? this.#settled(effects) : Promise.resolve() };
  }

  async #settled(effects: readonly Promise<void>[]): Promise<void> {
    let retryable: AppError | undefined;
    for (const outcome of await Promise.allSettled(effects)) {
      if (outcome.status === "fulfilled") continue;
      const error = AppError.from(outcome.reason);
      if (error.retryable) retryable ??= error;
      else {
        this.defects += 1;
        this.options.log.error({ err: error }, "a message of a device had no effect");
      }
    }
    if (retryable !== undefined) throw retryable;
  }

  async #ready(partition: number): Promise<void> {
    const owned = this.#owned.get(partition);
    if (owned === undefined) throw released(partition);
    await owned.ready;
  }

  #messageOf(view: BatchView, isRedelivered: boolean): DeviceMessage {
    const { tenant, deviceId: device, path, sourceTimeUs, ingestTimeUs, protocol, contentType } = view;
    const payload = view.payload();
    const found = this.options.profiles.of(tenant, device);
    const profile = found === "unknown" ? undefined : found;
    const quality = qualityOf(view.quality);
    const isBlock = isSampleBlock(protocol, contentType);
    return {
      tenant,
      device,
      path,
      kind: view.kind,
      protocol,
      contentType,
      payload,
      id: view.id(),
      sourceTimeUs,
      ingestTimeUs,
      isEvent: view.hop.lane === Lane.EVENT,
      isRedelivered,
      isReplayed: view.replayed,
      responsePath: view.responsePath,
      correlation: view.correlation(),
      causes: causesOf(view),
      profile,
      samples: profile?.decode({ path, payload, ingestTimeUs, sourceTimeUs, quality, isBlock }) ?? [],
    };
  }

  async #load(ownership: Ownership, signal: AbortSignal): Promise<void> {
    const { clock, log, recordsOf } = this.options;
    const { partition } = ownership;
    const waits = backoff({ initialMs: 100, maxMs: 5_000 });
    for (const module of this.#modules) {
      for (;;) {
        try {
          await module.acquire(ownership, signal);
          break;
        } catch (err) {
          signal.throwIfAborted();
          log.warn({ err, partition, module: module.name }, "what is stored cannot be read, will retry");
          await clock.sleep(waits.nextMs(), signal);
        }
      }
    }
    await recordsOf(partition);
    signal.throwIfAborted();
  }
}

function released(partition: number): AppError {
  return new AppError("target.unavailable", `partition ${partition} is not held by this process`);
}

function qualityOf(quality: Quality): SampleQuality {
  if (quality === Quality.BAD) return "bad";
  return quality === Quality.UNCERTAIN ? "uncertain" : "good";
}
