/** One Modbus unit on a line: reads into columns, and writes whose outcome is never guessed. */
import { AppError, abortError, type Clock } from "@myelin/kernel";
import type { ReadingBuffer } from "../../core/readings.js";
import type { Priority } from "../../links/link.js";
import type { HardwareAdapter, PlannedWrite, ReadFailure, ReadOutcome, WriteOutcome } from "../adapter.js";
import type { ModbusAddress } from "./address.js";
import { exceptionName } from "./functions.table.js";
import { encodeRequest } from "./pdu.js";
import type { ModbusRead } from "./plan.js";
import type { ExchangeResult, ModbusSession } from "./session.js";
import type { ModbusSettings } from "./settings.js";
import { decodeRuns } from "./values.js";
import { type BitChange, planWrite } from "./writes.js";

/** Speaks to one unit through the session of its line. */
export class ModbusAdapter implements HardwareAdapter<ModbusRead, ModbusAddress> {
  readonly #session: ModbusSession;
  readonly #unit: number;
  readonly #settings: ModbusSettings;
  readonly #clock: Clock;

  constructor(session: ModbusSession, unit: number, settings: ModbusSettings, clock: Clock) {
    this.#session = session;
    this.#unit = unit;
    this.#settings = settings;
    this.#clock = clock;
  }

  // Modbus knows no sessions: a unit is spoken to, or not.
  async connect(): Promise<void> {}

  async disconnect(): Promise<void> {}

  async readSensor(
    read: ModbusRead,
    out: ReadingBuffer,
    priority: Priority,
    signal: AbortSignal,
  ): Promise<ReadOutcome> {
    const take = (bytes: Uint8Array, start: number): void => {
      decodeRuns(read.runs, read.points, bytes, start + 2, out, this.#clock.wallUs());
    };
    const result = await this.#exchange(read.pdu, priority, signal, take);
    if (result.status === "good") return { answer: "complete", latencyMs: result.latencyMs };
    if (result.status === "aborted") throw abortError(signal);
    out.setBad(read.points, failureOf(result), this.#clock.wallUs());
    // A gateway that says that the unit keeps silent has answered; the unit has not.
    const lives = result.status === "exception" && failureOf(result) !== "no_reply";
    return {
      answer: lives ? "complete" : "none",
      error: this.#errorOf(result),
      latencyMs: result.latencyMs,
    };
  }

  async sendCommand(write: PlannedWrite<ModbusAddress>, signal: AbortSignal): Promise<WriteOutcome> {
    const plan = planWrite(write, this.#settings);
    if ("refused" in plan) {
      const error = new AppError("hardware.refused", `unit ${this.#unit}: ${plan.refused}`);
      return { outcome: "not_written", error };
    }
    const result =
      "pdu" in plan
        ? await this.#exchange(plan.pdu, write.priority, signal)
        : await this.#change(plan.change, write.priority, signal);
    return this.#outcomeOf(result);
  }

  #outcomeOf(result: ExchangeResult): WriteOutcome {
    if (result.status === "good") {
      if (this.#unit !== 0) return { outcome: "written" };
      const text = "nobody acknowledges what is written to all units at once";
      return { outcome: "unknown", error: new AppError("hardware.no_reply", text) };
    }
    const error = this.#errorOf(result);
    if (!result.sent) return { outcome: "not_written", error };
    const refused = result.status === "exception" && !MAY_BE_DONE.has(result.exception ?? 0);
    return { outcome: refused ? "not_written" : "unknown", error };
  }

  #change(change: BitChange, priority: Priority, signal: AbortSignal): Promise<ExchangeResult> {
    let value = 0;
    const read = encodeRequest({ fn: 3, address: change.address, quantity: 1 });
    const take = (bytes: Uint8Array, start: number): void => {
      const word = ((bytes[start + 2] as number) << 8) | (bytes[start + 3] as number);
      value = (word & ~change.mask) | change.bits;
    };
    const followUp = (): Uint8Array =>
      this.#settings.writes === "single"
        ? encodeRequest({ fn: 6, address: change.address, value })
        : encodeRequest({ fn: 16, address: change.address, registers: Uint16Array.of(value) });
    return this.#exchange(read, priority, signal, take, followUp);
  }

  #exchange(
    pdu: Uint8Array,
    priority: Priority,
    signal: AbortSignal,
    take?: (bytes: Uint8Array, start: number, end: number) => void,
    followUp?: () => Uint8Array,
  ): Promise<ExchangeResult> {
    const { timeout = this.#session.manners.timeoutMs, wait } = this.#settings;
    return this.#session.exchange({
      unit: this.#unit,
      pdu,
      priority,
      signal,
      take,
      followUp,
      waitMs: wait,
      timeoutMs: timeout,
    });
  }

  #errorOf({ status, exception = 0, detail }: ExchangeResult): AppError {
    const who = `unit ${this.#unit}`;
    switch (status) {
      case "exception": {
        const name = exceptionName(exception);
        return new AppError("hardware.refused", `${who} refused: ${name}`, { details: { exception: name } });
      }
      case "bad_reply":
        return new AppError("hardware.bad_reply", `${who}: ${detail}`);
      case "no_reply":
        return new AppError("hardware.no_reply", `${who}: ${detail}`);
      case "no_turn":
        return new AppError("operation.timeout", `${who}: ${detail}`);
      case "aborted":
        return new AppError("operation.aborted", `${who}: the request was called off`);
      default:
        return new AppError("hardware.line_down", `${who}: ${detail}`);
    }
  }
}

// Failed half-way, still at work, memory broken, or the gateway lost its unit: what was asked for may have been done.
const MAY_BE_DONE = new Set([4, 5, 8, 11]);

const EXCEPTION_FAILURES: Readonly<Record<number, ReadFailure>> = {
  1: "unknown_function",
  2: "unknown_address",
  3: "refused_value",
  4: "unit_fault",
  5: "unit_busy",
  6: "unit_busy",
  8: "unit_fault",
  10: "no_reply",
  11: "no_reply",
};

function failureOf({ status, exception = 0 }: ExchangeResult): ReadFailure {
  switch (status) {
    case "exception":
      return EXCEPTION_FAILURES[exception] ?? "refused";
    case "bad_reply":
    case "no_reply":
      return status;
    case "no_turn":
      return "not_read";
    default:
      return "unreachable";
  }
}
