/** What the core asks of the world around it: NATS through packages/bus, or a simulated one in tests. */
import type { ExternalSubjects, SubscribeOptions } from "@myelin/bus";
import type { BatchView } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { SourceDelivery } from "./event-tracker.js";
import type { OverflowPort } from "./overflow.js";

/** Ends a subscription; safe twice. */
export type Release = () => void;

/** The log as the core uses it. */
export type CoreLog = Pick<Logger, "debug" | "info" | "warn" | "error">;

/** A running consumer of one partition's events. */
export interface EventReader {
  /** Begins to deliver; resolves when the consumer exists. */
  start(signal: AbortSignal): Promise<void>;
  /** Delivers nothing more. */
  stop(): Promise<void>;
  /** Batches delivered whose acknowledgement was not sent yet: it may wait for more than their targets. */
  readonly pending: number;
  /** True: what was stored when this was called was delivered. @throws AppError `bus.*` */
  hasAll(): Promise<boolean>;
  /** Stops, waits for acknowledgements of what was delivered, and for NATS to have heard them. Safe after `stop`. */
  drain(deadlineMs: number): Promise<boolean>;
}

/** Whether this process still holds the lease of a partition; asked before anything is done with a batch. */
export interface Ownership {
  readonly partition: number;
  readonly epoch: number;
  readonly held: boolean;
}

/** Tells producers of telemetry what was consumed, so that they can send more. */
export interface TelemetryAcks {
  /** Called for each accepted batch. */
  consumed(view: BatchView): void;
  stop(): Promise<void>;
}

/** NATS as the core sees it. */
export interface DispatcherPorts {
  readonly instance: string;
  readonly incarnation: number;
  readonly partitions: number;
  readonly clock: Clock;
  readonly log: CoreLog;
  publish(subject: string, data: Uint8Array): boolean;
  subscribe(subject: string, handler: (data: Uint8Array) => void, options?: SubscribeOptions): Release;
  serve(
    subject: string,
    handler: (data: Uint8Array) => Promise<Uint8Array>,
    options?: { readonly queue?: string },
  ): Release;
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  readonly external: ExternalSubjects;
  openEvents(ownership: Ownership, handler: (delivery: SourceDelivery) => void): EventReader;
  openTelemetryAcks(ownership: Ownership): TelemetryAcks;
  openOverflow(kind: string, target: string, partition: number): OverflowPort;
  /** Targets that something waits for in the overflow of a partition. */
  overflowOwners(partition: number): Promise<readonly { readonly kind: string; readonly target: string }[]>;
  storeUnrouted(partition: number, data: Uint8Array, messageId: string): Promise<void>;
  storeDedupe(partition: number, data: Uint8Array, messageId: string): Promise<void>;
  /** The records kept of a partition, oldest first. */
  loadDedupe(partition: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
