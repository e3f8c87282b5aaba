/** A hub that a test opens, closes and answers for. */
import { AppError } from "@myelin/kernel";
import type { OutboxRecord, Uplink } from "../uplink.js";

export interface Sent extends Omit<OutboxRecord, "payload"> {
  readonly text: string;
}

export class TestUplink implements Uplink {
  isOpen = true;
  /** `store`: answers in the next turn; `hold`: not at all; otherwise refuses with that error. */
  mode: "store" | "hold" | AppError = "store";
  resets = 0;
  readonly sent: Sent[] = [];
  readonly stored: Sent[] = [];
  readonly #held: (() => void)[] = [];

  send(record: OutboxRecord, settled: (ordinal: number, error: AppError | undefined) => void): void {
    const { segment, ordinal, samples, replayed } = record;
    const sent = { segment, ordinal, samples, replayed, text: Buffer.from(record.payload).toString("utf8") };
    this.sent.push(sent);
    const { mode } = this;
    if (mode === "hold") {
      this.#held.push(() => {
        this.stored.push(sent);
        settled(ordinal, undefined);
      });
      return;
    }
    setImmediate(() => {
      if (!(mode instanceof AppError)) this.stored.push(sent);
      settled(ordinal, mode instanceof AppError ? mode : undefined);
    });
  }

  /** Stores the oldest of what is held. */
  release(count: number): void {
    for (const answer of this.#held.splice(0, count)) answer();
  }

  reset(): void {
    this.resets += 1;
  }
}
