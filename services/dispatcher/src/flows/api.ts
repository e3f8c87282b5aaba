/** What rules and apps may do with flows. */
import type { FlowAuthor, FlowRun, FlowWish } from "@myelin/bus";

/**
 * Starts flows, whoever owns their partitions. `start` resolves when the run is stored, and from then on it ends in one state; repeating
 * it with the same idempotency key after a restart does no harm. Errors are those of `FlowClient`.
 */
export interface FlowDesk {
  /** @throws AppError `flow.*`, `queue.full`, `request.*`, `bus.*` */
  start(wish: FlowWish): Promise<FlowRun>;
  /** Resolves when more has happened to it than `revision`, or `waitMs` has passed. @throws AppError `flow.unknown`, `request.*`, `bus.*` */
  next(tenant: string, id: string, revision: number, waitMs: number, signal?: AbortSignal): Promise<FlowRun>;
  /** @throws AppError `flow.unknown`, `flow.ended`, `request.*`, `bus.*` */
  cancel(tenant: string, id: string, author: FlowAuthor): Promise<FlowRun>;
}
