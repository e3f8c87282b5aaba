/** Brings the shadows of an edge node and those of its hub together: over a connection of its own, which may be gone for as long as it likes. */
import { type Bus, deploymentPartitions } from "@myelin/bus";
import { partitionOf, subjects, shadow as wire } from "@myelin/contract";
import { AppError, backoff, type Clock, type Component, withDeadline } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import type { ShadowKey } from "./api.js";

/** The shadows of this edge node. */
export interface EdgeShadows {
  /** What there is of a shadow here; undefined: its partition is somebody else's. */
  recordOf(key: ShadowKey): Promise<wire.Record | undefined>;
  /** Takes what the hub has. */
  merge(key: ShadowKey, record: wire.Record): Promise<void>;
  /** All of the partitions of this process. */
  keys(signal: AbortSignal): AsyncIterable<ShadowKey>;
}

export interface HubLinkOptions {
  /** The hub's NATS, not started yet. */
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly shadows: EdgeShadows;
}

const ANSWER_WITHIN_MS = 10_000;
/** What is read here, asked there, and stored here. */
const ROUND_WITHIN_MS = 20_000;
/** Asked at a time. */
const MAX_ASKING = 16;
/** Beyond it all shadows are looked through when these are done. */
const MAX_WAITING = 50_000;

/** One per process of an edge node. */
export class HubLink implements Component {
  readonly name = "hub-link";
  readonly #waiting = new Map<string, ShadowKey>();
  readonly #ending = new AbortController();
  readonly #waits = backoff({ initialMs: 250, maxMs: 10_000 });
  #partitions = 0;
  /** Everything is to be looked through: we may have missed what the hub told. */
  #isBehind = true;
  #wake: () => void = () => undefined;
  #running: Promise<void> | undefined;

  constructor(private readonly options: HubLinkOptions) {}

  /** Shadows that the hub has not seen as they are here. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** A hub that is away keeps nothing from starting. */
  async start(): Promise<void> {
    const { bus } = this.options;
    bus.subscribe(subjects.allSharedShadows(), (data) => {
      const { tenant, device, name } = wire.Request.decode(data);
      this.touch({ tenant, device, name });
    });
    bus.onConnectionChange((isConnected) => {
      if (!isConnected) return;
      this.#waits.reset();
      this.lookThrough();
    });
    void bus.start(this.#ending.signal).catch((err: unknown) => {
      if (!this.#ending.signal.aborted)
        this.options.log.warn({ err }, "the hub cannot be reached, will retry");
    });
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#ending.abort(new AppError("operation.aborted", "the link to the hub is being closed"));
    this.#wake();
    await this.#running;
    await this.options.bus.stop();
  }

  /** A shadow has changed, here or there. */
  touch(key: ShadowKey): void {
    if (this.#waiting.size >= MAX_WAITING) this.#isBehind = true;
    else this.#waiting.set(`${key.tenant}\0${key.device}\0${key.name}`, key);
    this.#wake();
  }

  /** There may be shadows that neither side has been asked about. */
  lookThrough(): void {
    this.#isBehind = true;
    this.#wake();
  }

  async #run(): Promise<void> {
    const { bus, clock, log } = this.options;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      if (!bus.connected || (this.#waiting.size === 0 && !this.#isBehind)) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          if (signal.aborted) resolve();
        });
        continue;
      }
      try {
        if (this.#partitions === 0) this.#partitions = await deploymentPartitions(bus);
        const asking = await Promise.allSettled(Array.from({ length: MAX_ASKING }, () => this.#ask()));
        const failed = asking.find(({ status }) => status === "rejected");
        if (failed?.status === "rejected") throw failed.reason;
        if (this.#waiting.size === 0 && this.#isBehind) await this.#refill();
      } catch (thrown) {
        if (signal.aborted) return;
        log.debug(
          { err: AppError.from(thrown) },
          "shadows cannot be brought together with the hub's, will retry",
        );
        await clock.sleep(this.#waits.nextMs(), signal).catch(() => undefined);
      }
    }
  }

  async #refill(): Promise<void> {
    this.#isBehind = false;
    try {
      for await (const key of this.options.shadows.keys(this.#ending.signal)) this.touch(key);
    } catch (thrown) {
      this.#isBehind = true;
      throw thrown;
    }
  }

  /** One after the other, until nothing waits. What fails waits again. */
  async #ask(): Promise<void> {
    const { bus, shadows, log } = this.options;
    for (const [id, key] of this.#waiting) {
      if (this.#ending.signal.aborted) return;
      // What changes from here on is another round.
      this.#waiting.delete(id);
      try {
        await withDeadline(this.#ending.signal, ROUND_WITHIN_MS, async () => {
          const own = await shadows.recordOf(key);
          if (own === undefined) return;
          const record = await this.#sync(bus, key, own);
          this.#waits.reset();
          await shadows.merge(key, record);
        });
      } catch (thrown) {
        const error = AppError.from(thrown);
        if (error.retryable || error.code === "request.no_responder") {
          this.#waiting.set(id, key);
          throw error;
        }
        log.warn({ err: error, device: key.device, shadow: key.name }, "a shadow was not taken by the hub");
      }
    }
  }

  async #sync(bus: Bus, { tenant, device, name }: ShadowKey, record: wire.Record): Promise<wire.Record> {
    const partition = partitionOf(tenant, device, this.#partitions);
    const request = { $case: "sync", value: { record } } as const;
    const data = wire.Request.encode({ partition, tenant, device, name, request }).finish();
    const answer = wire.Answer.decode(
      await bus.request(subjects.shadowRequest(partition), data, ANSWER_WITHIN_MS),
    );
    if (answer.record === undefined) throw new AppError("remote.unknown", "an answer without a shadow");
    return answer.record;
  }
}
