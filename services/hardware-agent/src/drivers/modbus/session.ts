/** A conversation with the units of one line: a request, and what became of it. */
import type { ByteReceiver, LineManners, Priority } from "../../links/link.js";

/** One request. */
export interface Exchange {
  readonly unit: number;
  readonly pdu: Uint8Array;
  readonly priority: Priority;
  /** Longest wait for a turn on the line. */
  readonly waitMs: number;
  /** Longest silence of the unit. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Called with the PDU of a good reply, which is valid until it returns. */
  readonly take?: ((bytes: Uint8Array, start: number, end: number) => void) | undefined;
  /** After a good reply: what is asked next, in the same turn, so that nobody else speaks in between. The result is that of the second. */
  readonly followUp?: (() => Uint8Array) | undefined;
}

/**
 * `good` and `exception` come from the unit; `bad_reply`: something came that is no answer to this request; `no_reply`:
 * nothing did; `unreachable`: the line is or went down; `no_turn`: the line had no time for it.
 */
export interface ExchangeResult {
  readonly status: "good" | "exception" | "bad_reply" | "no_reply" | "unreachable" | "no_turn" | "aborted";
  /** Whether the request may have reached the unit: what was not sent was certainly not executed. */
  readonly sent: boolean;
  /** Of `exception`. */
  readonly exception?: number | undefined;
  /** What came instead, or why there was no line, for people. */
  readonly detail?: string | undefined;
  /** From the first byte out to the last one in. */
  readonly latencyMs: number;
}

/** Speaks a framing on a line, for all units that are on it. */
export interface ModbusSession extends ByteReceiver {
  readonly manners: LineManners;
  /** Never rejects: whatever happens stands in the result. */
  exchange(request: Exchange): Promise<ExchangeResult>;
}
