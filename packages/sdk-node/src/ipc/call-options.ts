/** What a call may be told, and what a client says about itself. */
import type { AppError } from "@myelin/kernel";
import { check, checkOptions, checkTimeout } from "../check.js";
import type { ConsumerCounters } from "./consumer.js";
import type { ClientState } from "./options.js";
import type { OutboxCounters } from "./outbox.js";

/** Options of one request. */
export interface RequestOptions {
  readonly timeoutMs?: number;
  readonly contentType?: string;
  readonly traceparent?: string;
}

/** Options of one message for a device. */
export interface SendOptions extends RequestOptions {
  readonly tenant?: string;
  /** Resolve when the device has acknowledged, not when it was written to its connection. */
  readonly waitForDevice?: boolean;
}

/** What the client says about itself. */
export interface ClientHealth extends ConsumerCounters, OutboxCounters {
  readonly state: ClientState;
  readonly healthy: boolean;
  /** As the bridge calls this instance; empty while not connected. */
  readonly instance: string;
  readonly bridge: string;
  readonly connects: number;
  /** Failed tries since the last connection that held. */
  readonly failedTries: number;
  readonly lastError: AppError | undefined;
  /** Batches received and not acknowledged. */
  readonly openBatches: number;
  /** Handlers that run. */
  readonly running: number;
  readonly openCalls: number;
  readonly openCircuits: readonly string[];
}

/** @throws AppError `internal.invalid_argument` */
export function checkCall(method: string, options: SendOptions): void {
  checkOptions(method, options);
  checkTimeout(method, options.timeoutMs);
  for (const name of ["contentType", "traceparent", "tenant"] as const) {
    const value = options[name];
    check(value === undefined || typeof value === "string", `${method}: ${name} must be a string`);
  }
}
