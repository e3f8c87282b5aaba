/** What became of the events of one request: a pair of counts, the first refusals, and one promise. */
import type { EventTicket } from "@myelin/bus";
import { AppError, type Clock, type Timer } from "@myelin/kernel";

/** One reading that was not taken. */
export interface Refusal {
  /** Line of a stream or place in an array, from 1. */
  readonly line: number;
  readonly code: string;
  readonly detail: string;
}

/** Counts readings of both lanes; for the event lane also hears what was stored. */
export class RequestTicket implements EventTicket {
  accepted = 0;
  rejected = 0;
  readonly errors: Refusal[] = [];
  /** Why the stream refused the last ones. */
  refusal: AppError | undefined;
  private waiting = 0;
  private done: (() => void) | undefined;

  constructor(private readonly maxErrors: number) {}

  /** An event was handed to the sender and will be settled. */
  expect(): void {
    this.waiting += 1;
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    this.waiting -= to - from;
    if (error === undefined) this.accepted += to - from;
    else {
      this.refusal = error;
      for (let i = from; i < to; i++) this.refuse(numbers[i]!, error.code, error.message);
    }
    if (this.waiting === 0) this.done?.();
  }

  refuse(line: number, code: string, detail: string): void {
    this.rejected += 1;
    if (this.errors.length < this.maxErrors) this.errors.push({ line, code, detail });
  }

  /** Resolves when every expected event is settled. @throws AppError `bus.timeout` */
  async stored(clock: Clock, timeoutMs: number): Promise<void> {
    if (this.waiting === 0) return;
    let timer: Timer | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.done = resolve;
        timer = clock.setTimeout(() => {
          const text = `${this.waiting} events were not stored within ${timeoutMs} ms; send them again with the same key`;
          reject(new AppError("bus.timeout", text));
        }, timeoutMs);
      });
    } finally {
      this.done = undefined;
      clock.clear(timer);
    }
  }
}
