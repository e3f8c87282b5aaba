/** The way from the outbox to the hub. */
import type { AppError } from "@myelin/kernel";

/** One record on its way. `segment` and `ordinal` together are its own for ever: what is sent twice can be told by them. */
export interface OutboxRecord {
  readonly segment: string;
  readonly ordinal: number;
  readonly samples: number;
  /** To be read during the call. */
  readonly payload: Uint8Array;
  /** It was kept during an outage. */
  readonly replayed: boolean;
}

/** Carries records to the hub's stream. */
export interface Uplink {
  /** Whether records are taken now; while it is false nothing is sent. */
  readonly isOpen: boolean;
  /**
   * Hands a record over. `settled` is called once, later: without an error when the hub's stream has stored it. After a retryable error the record is sent
   * again, after another one it is given up.
   */
  send(record: OutboxRecord, settled: (ordinal: number, error: AppError | undefined) => void): void;
  /** Asked to begin anew when nothing was acknowledged for long although it is open. */
  reset?(): void;
}
