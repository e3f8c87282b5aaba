/** A simulated unit: a model whose time is that of the clock, and faults on demand. */
import { AppError, type Clock } from "@myelin/kernel";
import type { ReadingBuffer } from "../../core/readings.js";
import type { Priority } from "../../links/link.js";
import type { ModelLine } from "../../links/model-line.js";
import type {
  HardwareAdapter,
  PlannedRead,
  PlannedWrite,
  ReadFailure,
  ReadOutcome,
  WriteOutcome,
} from "../adapter.js";
import type { Model } from "./models.js";

const MAX_STEP_S = 60;
const MAX_CATCH_UP_S = 3_600;

/** What a unit can be made to do wrong; the point `fault` sets it by its place in this list. */
export const FAULTS = ["none", "silent", "broken", "refuses", "stuck"] as const;

/** One request for points of a model. */
export interface SimulatedRead extends PlannedRead {
  readonly names: readonly string[];
}

interface Options {
  readonly line: ModelLine;
  readonly model: Model;
  /** Its place in the line's queue. */
  readonly unit: number;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Place in `FAULTS` at the start. */
  readonly fault: number;
}

/** Its physics go on while nobody looks. */
export class SimulatedAdapter implements HardwareAdapter<SimulatedRead, string> {
  /** How often it was written to; tests count what was executed. */
  writes = 0;
  #fault: number;
  #lastMs: number;

  constructor(private readonly options: Options) {
    this.#fault = options.fault;
    this.#lastMs = options.clock.nowMs();
  }

  async connect(): Promise<void> {
    // It has no session.
  }

  async disconnect(): Promise<void> {
    // Nothing is open.
  }

  async readSensor(
    { points, names, requestBytes, responseBytes }: SimulatedRead,
    out: ReadingBuffer,
    priority: Priority,
    signal: AbortSignal,
  ): Promise<ReadOutcome> {
    const { line, model, clock, timeoutMs } = this.options;
    const fault = FAULTS[this.#fault];
    const isSilent = fault === "silent";
    let latencyMs: number;
    try {
      const bytes = requestBytes + (isSilent ? 0 : responseBytes);
      latencyMs = await line.converse(
        { unit: this.options.unit, priority, bytes, silenceMs: isSilent ? timeoutMs : 0 },
        signal,
      );
    } catch (thrown) {
      signal.throwIfAborted();
      out.setBad(points, "unreachable", clock.wallUs());
      return { answer: "none", error: AppError.from(thrown), latencyMs: 0 };
    }
    const nowUs = clock.wallUs();
    const failure = FAILURES[fault ?? "none"];
    if (failure !== undefined) {
      const [reason, error] = failure;
      out.setBad(points, reason, nowUs);
      return { answer: reason === "unit_fault" ? "complete" : "none", error: error(line.name), latencyMs };
    }
    if (fault !== "stuck") this.#pass();
    for (let i = 0; i < points.length; i++) {
      const name = names[i] as string;
      const value = name === "fault" ? this.#fault : model.values[name];
      if (value === undefined) out.setBad(points.subarray(i, i + 1), "unknown_address", nowUs);
      else out.setNumber(points[i] as number, value, nowUs);
    }
    return { answer: "complete", latencyMs };
  }

  async sendCommand(
    { address, value, priority }: PlannedWrite<string>,
    signal: AbortSignal,
  ): Promise<WriteOutcome> {
    const { line, model, timeoutMs, unit } = this.options;
    const isSilent = FAULTS[this.#fault] === "silent" && address !== "fault";
    try {
      await line.converse({ unit, priority, bytes: 16, silenceMs: isSilent ? timeoutMs : 0 }, signal);
    } catch (thrown) {
      return { outcome: "not_written", error: AppError.from(thrown) };
    }
    if (isSilent)
      return { outcome: "unknown", error: new AppError("hardware.no_reply", "the unit kept silent") };
    const number = Number(value);
    const isKnown = address === "fault" || model.writable.includes(address);
    if (!isKnown || !Number.isFinite(number) || FAULTS[this.#fault] === "refuses")
      return {
        outcome: "not_written",
        error: new AppError("hardware.refused", `${address} cannot be set so`),
      };
    this.#pass();
    this.writes += 1;
    if (address === "fault") this.#fault = FAULTS[number] === undefined ? 0 : number;
    else if (FAULTS[this.#fault] !== "stuck") model.values[address] = number;
    return { outcome: "written" };
  }

  #pass(): void {
    const nowMs = this.options.clock.nowMs();
    let seconds = Math.min(MAX_CATCH_UP_S, (nowMs - this.#lastMs) / 1_000);
    this.#lastMs = nowMs;
    for (; seconds > 0; seconds -= MAX_STEP_S) this.options.model.step(Math.min(MAX_STEP_S, seconds));
  }
}

type Failure = readonly [reason: ReadFailure, error: (line: string) => AppError];

const FAILURES: Readonly<Partial<Record<(typeof FAULTS)[number], Failure>>> = {
  silent: ["no_reply", (line) => new AppError("hardware.no_reply", `no reply from the unit on ${line}`)],
  broken: ["bad_reply", (line) => new AppError("hardware.bad_reply", `a broken frame came on ${line}`)],
  refuses: [
    "unit_fault",
    (line) => new AppError("hardware.refused", `the unit on ${line} says that it is broken`),
  ],
};
