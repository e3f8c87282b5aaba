/** Gives batches to the desk one after the other, and settles each when what followed from it is safe: the next one does not wait for that. */
import { BatchView, HopHeader, Lane } from "@myelin/contract";
import { AppError, backoff } from "@myelin/kernel";
import type { SendAnswer } from "../../core/outlet.js";
import type { Share } from "../../core/share.js";
import type { DeviceDesk } from "../../devices/device-desk.js";
import type { Outlet, OutletEvents, TargetContext, Way } from "../target.js";

/** What may be under way; a batch counts until it is settled. */
const WINDOW_BYTES = 1024 * 1024;
const WINDOW_BATCHES = 256;

interface Taken {
  readonly data: Buffer;
  /** Resolves when what followed from the batch is safe. */
  safe: Promise<void>;
}

/** Batches are settled in their order. One that must come again holds those behind it back, which were taken already. */
export class DeskOutlet implements Outlet {
  readonly header: HopHeader;
  state: "open" | "away" = "open";
  readonly #waiting: Buffer[] = [];
  readonly #taken: Taken[] = [];
  readonly #view = new BatchView();
  readonly #retryView = new BatchView();
  #bytes = 0;
  #isTaking = false;
  #isSettling = false;
  readonly #closing = new AbortController();

  constructor(
    private readonly desk: Pick<DeviceDesk, "take">,
    private readonly context: TargetContext,
    private readonly way: Way,
    private readonly events: OutletEvents,
  ) {
    const { partition, lane } = way;
    this.header = new HopHeader({
      sender: "",
      incarnation: 0,
      partition,
      lane: lane === "event" ? Lane.EVENT : Lane.TELEMETRY,
      target: "",
      targetInstance: "",
    });
  }

  trySend({ data }: Share): SendAnswer {
    const isFull =
      this.#bytes + data.length > WINDOW_BYTES || this.#waiting.length + this.#taken.length >= WINDOW_BATCHES;
    if (this.#bytes > 0 && isFull) return "later";
    this.#bytes += data.length;
    this.#waiting.push(data);
    if (!this.#isTaking) {
      this.#isTaking = true;
      queueMicrotask(() => void this.#takeAll());
    }
    return "taken";
  }

  close(): void {
    this.#closing.abort(new AppError("operation.aborted", "the partition is given up"));
    this.#waiting.length = 0;
    this.#taken.length = 0;
  }

  async #takeAll(): Promise<void> {
    for (let data = this.#waiting.shift(); data !== undefined; data = this.#waiting.shift()) {
      const { safe } = await this.#take(this.#view, data, false);
      if (this.#closing.signal.aborted) return;
      this.#taken.push({ data, safe });
      if (!this.#isSettling) void this.#settleAll();
    }
    this.#isTaking = false;
  }

  async #settleAll(): Promise<void> {
    this.#isSettling = true;
    for (let first = this.#taken[0]; first !== undefined; first = this.#taken[0]) {
      const refusal = await this.#settled(first);
      if (this.#closing.signal.aborted) return;
      this.#taken.shift();
      this.#bytes -= first.data.length;
      if (refusal === undefined) this.events.settled(1);
      else this.events.refused("target_error");
    }
    this.#isSettling = false;
  }

  /** Tries a batch again as long as that may help; what it was refused with in the end. */
  async #settled(taken: Taken): Promise<AppError | undefined> {
    const { clock, log } = this.context.ports;
    const { partition, lane } = this.way;
    const waits = backoff({ initialMs: 100, maxMs: 10_000 });
    for (;;) {
      try {
        await taken.safe;
        this.state = "open";
        return undefined;
      } catch (thrown) {
        const error = AppError.from(thrown);
        if (this.#closing.signal.aborted || !error.retryable || lane === "telemetry") return error;
        log.debug({ err: error, partition }, "messages of devices wait, will retry");
        this.state = "away";
        this.events.ready();
      }
      await clock.sleep(waits.nextMs(), this.#closing.signal).catch(() => undefined);
      if (this.#closing.signal.aborted) return undefined;
      taken.safe = (await this.#take(this.#retryView, taken.data, true)).safe;
    }
  }

  /** Never rejects: what goes wrong is told by `safe`. */
  async #take(view: BatchView, data: Buffer, again: boolean): Promise<{ readonly safe: Promise<void> }> {
    try {
      const { safe } = await this.desk.take(view.reset(data), this.way.partition, again);
      // Looked at when its turn has come.
      safe.catch(() => undefined);
      return { safe };
    } catch (thrown) {
      const safe = Promise.reject<void>(thrown as Error);
      safe.catch(() => undefined);
      return { safe };
    }
  }
}
