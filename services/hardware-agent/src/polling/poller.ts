/** Polls the units of a line: by deadline, one request to a unit at a time, dead units seldom. */
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { SampleReason } from "@myelin/profile";
import type { PlannedRead } from "../drivers/adapter.js";
import type { Link } from "../links/link.js";
import type { Unit } from "./unit.js";

/** A line that is down is tried again with waits from the first to the last of these. */
const LINE_WAITS_MS = [100, 200, 500, 1_000, 2_000, 5_000];

/** Where samples go. */
export interface SampleSink {
  /** Samples of one device; `block` is valid during the call. */
  publish(unit: Unit, block: Uint8Array, count: number): void;
}

interface Options {
  readonly link: Link;
  readonly clock: Clock;
  readonly outstanding: number;
  readonly retries: number;
  readonly sink: SampleSink;
  /** A unit died or came back, or the line did; for logs and conditions. */
  readonly onChange: (unit: Unit | undefined, error: AppError | undefined) => void;
}

/** One per line. */
export class Poller {
  /** Why the line is down; undefined while it is not. */
  lineError: AppError | undefined;
  readonly #options: Options;
  readonly #ending = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #units: readonly Unit[] = [];
  #known: ReadonlySet<Unit> = new Set();
  #timer: Timer | undefined;
  #lineFailures = 0;
  #lineRetryAtMs = 0;
  #isConnecting = false;
  #turn = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  /** Polls these from now on. Those that were polled before go on as they were; new ones begin in spread phases. */
  apply(units: readonly Unit[], fits: (unit: Unit, read: number) => boolean): void {
    const nowMs = this.#options.clock.nowMs();
    const known = this.#known;
    let fresh = 0;
    for (const unit of units) if (!known.has(unit)) fresh += unit.dueMs.length;
    let place = 0;
    for (const unit of units) {
      const isNew = !known.has(unit);
      for (let i = 0; i < unit.dueMs.length; i++) {
        const { intervalMs, points } = unit.device.reads[i] as PlannedRead;
        const phase = isNew ? place++ / fresh : 0;
        if (!fits(unit, i)) {
          unit.dueMs[i] = Number.POSITIVE_INFINITY;
          unit.buffer.setBad(points, "not_read", this.#options.clock.wallUs());
          this.#tell(unit, points, 0);
        } else if (unit.dueMs[i] === Number.POSITIVE_INFINITY) unit.dueMs[i] = nowMs + phase * intervalMs;
      }
    }
    this.#units = units;
    this.#known = new Set(units);
    this.#pump();
  }

  /** Ends all requests that are under way. Resolves when nothing is left. */
  async stop(): Promise<void> {
    this.#ending.abort(new AppError("operation.aborted", "the line is given up"));
    this.#options.clock.clear(this.#timer);
    await Promise.allSettled(this.#running);
    await this.#options.link.disconnect();
  }

  #pump(): void {
    if (this.#ending.signal.aborted) return;
    const { clock, outstanding } = this.#options;
    const nowMs = clock.nowMs();
    if (this.lineError !== undefined && nowMs >= this.#lineRetryAtMs) this.#reconnect();
    if (this.lineError === undefined)
      while (this.#running.size < outstanding) {
        const next = this.#nextUnit(nowMs);
        if (next === undefined) break;
        this.#begin(next);
      }
    this.#arm(nowMs);
  }

  /** Of the units that have something due the one whose deadline is nearest; of equal ones the next in turn. */
  #nextUnit(nowMs: number): Unit | undefined {
    let best: Unit | undefined;
    let deadline = Number.POSITIVE_INFINITY;
    const count = this.#units.length;
    for (let k = 0; k < count; k++) {
      const unit = this.#units[(this.#turn + k) % count] as Unit;
      if (unit.isBusy) continue;
      const read = unit.nextDue(nowMs);
      if (read < 0) continue;
      const own = (unit.dueMs[read] as number) + (unit.device.reads[read] as PlannedRead).intervalMs;
      if (own >= deadline) continue;
      best = unit;
      deadline = own;
    }
    this.#turn = count === 0 ? 0 : (this.#turn + 1) % count;
    return best;
  }

  #begin(unit: Unit): void {
    unit.isBusy = true;
    const work = this.#read(unit, unit.nextDue(this.#options.clock.nowMs()))
      .catch(() => {
        // Aborted: the line is given up.
      })
      .finally(() => {
        unit.isBusy = false;
        this.#running.delete(work);
        this.#pump();
      });
    this.#running.add(work);
  }

  async #read(unit: Unit, number: number): Promise<void> {
    const { clock, link, retries } = this.#options;
    const { signal } = this.#ending;
    const read = unit.device.reads[number] as PlannedRead;
    try {
      await link.connect(signal);
      if (!unit.hasAnswered) await unit.adapter.connect(signal);
    } catch (thrown) {
      signal.throwIfAborted();
      this.#lineDown(AppError.from(thrown));
      return;
    }
    for (let attempt = 0; ; attempt++) {
      const { answer, error, latencyMs } = await unit.adapter.readSensor(read, unit.buffer, "poll", signal);
      // Not wanted any more: what came is not told, or it would stand for ever as the last word.
      if (!this.#known.has(unit) || unit.dueMs[number] === Number.POSITIVE_INFINITY) return;
      unit.counters.reads += 1;
      unit.trouble = error?.message ?? "";
      const nowMs = clock.nowMs();
      if (answer === "complete") {
        unit.counters.latencyMs = latencyMs;
        unit.hasAnswered = true;
        this.#tell(unit, read.points, latencyMs);
        if (unit.health.answered()) this.#revived(unit, nowMs);
        else unit.plan(number, nowMs);
        return;
      }
      unit.counters.failures += 1;
      if (error?.code === "hardware.line_down") {
        this.#lineDown(error);
        return;
      }
      if (attempt < retries && !unit.health.isDegraded) continue;
      unit.plan(number, nowMs);
      const hasDied = unit.health.silent(nowMs);
      if (unit.health.isDegraded) {
        // One silence stands for all that it would have been asked.
        unit.buffer.setBad(unit.all, reasonOf(error), clock.wallUs());
        this.#tell(unit, unit.all, latencyMs);
      } else this.#tell(unit, read.points, latencyMs);
      if (hasDied) this.#options.onChange(unit, error);
      return;
    }
  }

  #revived(unit: Unit, nowMs: number): void {
    for (let i = 0; i < unit.dueMs.length; i++)
      if (unit.dueMs[i] !== Number.POSITIVE_INFINITY)
        unit.dueMs[i] = Math.min(unit.dueMs[i] as number, nowMs);
    this.#options.onChange(unit, undefined);
  }

  #lineDown(error: AppError): void {
    const { clock, onChange } = this.#options;
    const wasUp = this.lineError === undefined;
    this.lineError = error;
    const wait = LINE_WAITS_MS[Math.min(this.#lineFailures, LINE_WAITS_MS.length - 1)] as number;
    this.#lineFailures += 1;
    this.#lineRetryAtMs = clock.nowMs() + wait;
    for (const unit of this.#units) {
      unit.trouble = error.message;
      unit.buffer.setBad(unit.all, "unreachable", clock.wallUs());
      this.#tell(unit, unit.all, 0);
    }
    if (wasUp) onChange(undefined, error);
  }

  #reconnect(): void {
    if (this.#isConnecting) return;
    this.#isConnecting = true;
    const { link, clock, onChange } = this.#options;
    const work = link
      .connect(this.#ending.signal)
      .then(
        () => {
          this.lineError = undefined;
          this.#lineFailures = 0;
          const nowMs = clock.nowMs();
          for (const unit of this.#units)
            for (let i = 0; i < unit.dueMs.length; i++)
              if (unit.dueMs[i] !== Number.POSITIVE_INFINITY)
                unit.dueMs[i] = Math.min(unit.dueMs[i] as number, nowMs);
          onChange(undefined, undefined);
        },
        (thrown: unknown) => {
          if (!this.#ending.signal.aborted) this.#lineDown(AppError.from(thrown));
        },
      )
      .finally(() => {
        this.#isConnecting = false;
        this.#running.delete(work);
        this.#pump();
      });
    this.#running.add(work);
  }

  /** Judges what was read, and publishes what has changed. */
  #tell(unit: Unit, points: Uint32Array, latencyMs: number): void {
    unit.judge.judge(unit.buffer, points, unit.samples);
    const chosen = unit.filter.choose(unit.samples, points, this.#options.clock.nowMs());
    if (chosen.length === 0) return;
    unit.counters.samples += chosen.length;
    this.#options.sink.publish(
      unit,
      unit.encoder.encode(unit.samples, chosen, latencyMs * 1_000),
      chosen.length,
    );
  }

  #arm(nowMs: number): void {
    const { clock, outstanding } = this.#options;
    clock.clear(this.#timer);
    this.#timer = undefined;
    if (this.#running.size >= outstanding) return;
    let at = Number.POSITIVE_INFINITY;
    if (this.lineError !== undefined) at = this.#isConnecting ? at : this.#lineRetryAtMs;
    else for (const unit of this.#units) if (!unit.isBusy) at = Math.min(at, unit.wakeAtMs());
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timer = clock.setTimeout(() => this.#pump(), Math.max(0, at - nowMs));
  }
}

/** Of a unit that is taken for dead: what its last silence was. */
function reasonOf(error: AppError | undefined): SampleReason {
  return error?.code === "hardware.bad_reply" ? "bad_reply" : "no_reply";
}
