/** What members of shared subscriptions have left: between the sessions of a home and members elsewhere, both ways. */
import { BatchView, envelope, subjects } from "@myelin/contract";
import { AppError, backoff } from "@myelin/kernel";
import type { DispatcherPorts, Release } from "../core/ports.js";

const ANSWER_WITHIN_MS = 2_000;
const GIVE_UP_AFTER_MS = 10_000;
/** A batch without the header of a link begins so. */
const NO_HOP = Buffer.from([0x12, 0x00]);
const NOTHING = new Uint8Array(0);

export interface HandbackOptions {
  readonly ports: Pick<DispatcherPorts, "clock" | "request" | "serve">;
  /** A message for a group with members here. */
  readonly adopt: (key: string, view: BatchView) => void;
  /** Throws where somebody else should be asked. */
  readonly check: (key: string) => void;
  /** Resolves when nothing of what was adopted can be lost. */
  readonly stored: () => Promise<void>;
}

/** One per home. */
export class Handback {
  private readonly serving = new Map<string, Release>();
  private isClosed = false;

  constructor(private readonly options: HandbackOptions) {}

  /** The group has members here, or has none any more. */
  serve(key: string, hasMembers: boolean): void {
    const known = this.serving.get(key);
    if (hasMembers && known === undefined && !this.isClosed) {
      const { ports } = this.options;
      const subject = subjects.sharedHandback(key);
      this.serving.set(
        key,
        ports.serve(subject, (data) => this.take(key, data), { queue: "members" }),
      );
    } else if (!hasMembers && known !== undefined) {
      known();
      this.serving.delete(key);
    }
  }

  /** Resolves when a member elsewhere has them. An answer that is lost makes them come again. @throws AppError when nobody takes them */
  async give(key: string, envelopes: envelope.Envelope[]): Promise<void> {
    const { clock, request } = this.options.ports;
    const data = envelope.Batch.encode(envelope.Batch.fromPartial({ envelopes })).finish();
    const untilMs = clock.nowMs() + GIVE_UP_AFTER_MS;
    // Of the homes with members, those whose clients are away refuse while others are there.
    const waits = backoff({ initialMs: 10, maxMs: 200 });
    for (;;) {
      try {
        await request(subjects.sharedHandback(key), data, ANSWER_WITHIN_MS);
        return;
      } catch (thrown) {
        const { code } = AppError.from(thrown);
        if (this.isClosed || code === "request.no_responder" || clock.nowMs() >= untilMs) throw thrown;
        await clock.sleep(waits.nextMs());
      }
    }
  }

  close(): void {
    this.isClosed = true;
    for (const release of this.serving.values()) release();
    this.serving.clear();
  }

  private async take(key: string, data: Uint8Array): Promise<Uint8Array> {
    this.options.check(key);
    const view = new BatchView().reset(Buffer.concat([NO_HOP, data]));
    while (view.next()) this.options.adopt(key, view);
    await this.options.stored();
    return NOTHING;
  }
}
