/** The tracer's side of a live trace: asks all listeners for packets for as long as it looks. */
import { randomUUID } from "node:crypto";
import type { Bus } from "@myelin/bus";
import { ops, subjects } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";

const ANNOUNCE_MS = 1_000;
/** Packets a second from each listener. */
export const DEFAULT_TRACE_RATE = 200;
export const MAX_TRACE_RATE = 10_000;
/** Bytes of one payload. */
export const MAX_TRACED_PAYLOAD = 4_096;

/** What a tracer wants to see; at least one client or filter. */
export interface TraceWish {
  readonly tenant: ops.Tenant | undefined;
  /** Device ids, or what clients call themselves. */
  readonly clients: readonly string[];
  /** MQTT topic filters. */
  readonly filters: readonly string[];
  /** Packets a second at most from each listener. */
  readonly maxRate: number;
  /** Bytes of each payload; 0: none. */
  readonly payloadBytes: number;
}

/** Calls `onBatch` with what passes until the returned function is called. Listeners forget one that is silent for three seconds. */
export function startTrace(
  bus: Bus,
  clock: Clock,
  wish: TraceWish,
  onBatch: (batch: ops.TraceBatch) => void,
): () => void {
  const id = randomUUID();
  const end = bus.subscribe(subjects.traceBatch(id), (data) => onBatch(ops.TraceBatch.decode(data)));
  const announce = (ended: boolean): void => {
    const interest = { ...wish, clients: [...wish.clients], filters: [...wish.filters], id, ended };
    bus.publish(subjects.traceInterest(), ops.TraceInterest.encode(interest).finish());
  };
  announce(false);
  const timer = clock.setInterval(() => announce(false), ANNOUNCE_MS);
  return () => {
    clock.clear(timer);
    announce(true);
    end();
  };
}
