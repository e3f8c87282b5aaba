/** Publishes each message on a NATS subject of the operator's choice; events wait for the receipt of the stream that takes them. */
import type { ExternalMessage } from "@myelin/bus";
import { BATCH_FLAGS, BatchView } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { isExpired } from "../../core/expiry.js";
import { type SinkBatch, SinkOutlet } from "../../core/sink-outlet.js";
import type { LeftOut, Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { messageHeaders } from "./headers.js";

/** A stream that is made on a subject without one is noticed after this long. */
const NO_STREAM_MS = 10_000;

class NatsTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly view = new BatchView();
  /** Undefined: not known. `untilMs`: when to ask again. */
  private stored: { readonly isStored: boolean; readonly untilMs: number } | undefined;

  constructor(
    private readonly subject: string,
    private readonly context: TargetContext,
  ) {
    this.name = `nats:${subject}`;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { clock, log } = this.context.ports;
    return new SinkOutlet({
      way,
      events,
      clock,
      onError: (err) => log.debug({ err, target: this.name }, "messages cannot be published, will retry"),
      writer: {
        maxGroup: 64,
        write: (batches) => (way.lane === "event" ? this.writeEvents(batches) : this.publish(batches)),
      },
    });
  }

  private async writeEvents(batches: readonly SinkBatch[]): Promise<readonly LeftOut[]> {
    const { external } = this.context.ports;
    if (await this.isStored()) return await this.store(batches);
    const leftOut = await this.publish(batches);
    // Nobody keeps it: that the server has read everything is all there is to wait for.
    await external.flush();
    return leftOut;
  }

  private async publish(batches: readonly SinkBatch[]): Promise<readonly LeftOut[]> {
    const { external } = this.context.ports;
    return batches.map(({ data }) => {
      const expired = this.each(data, (payload, headers) => {
        if (external.publish(this.subject, payload, headers)) return;
        throw new AppError("bus.disconnected", `NATS takes nothing for ${this.subject} at the moment`);
      });
      return { expired, refused: 0 };
    });
  }

  private async store(batches: readonly SinkBatch[]): Promise<readonly LeftOut[]> {
    const messages: ExternalMessage[] = [];
    const parts = batches.map(({ data }) => {
      const from = messages.length;
      const expired = this.each(data, (payload, headers) => messages.push({ data: payload, headers }));
      return { from, to: messages.length, expired };
    });
    const outcomes = await this.tryStore(messages);
    return parts.map(({ from, to, expired }) => ({
      expired,
      refused: outcomes.slice(from, to).filter((error) => error !== undefined).length,
    }));
  }

  /** Outcomes without those that another try may change: for one of them everything is tried again, the stream knows what it has. */
  private async tryStore(messages: readonly ExternalMessage[]): Promise<readonly (AppError | undefined)[]> {
    const { external, log } = this.context.ports;
    try {
      const outcomes = await external.store(this.subject, messages);
      const passing = outcomes.find((error) => error?.retryable === true);
      if (passing !== undefined) throw passing;
      const err = outcomes.find((error) => error !== undefined);
      if (err !== undefined) log.warn({ err, target: this.name }, "a stream refuses messages for good");
      return outcomes;
    } catch (thrown) {
      // Perhaps the stream was deleted.
      this.stored = undefined;
      throw thrown;
    }
  }

  private async isStored(): Promise<boolean> {
    const { clock, external } = this.context.ports;
    if (this.stored === undefined || clock.nowMs() >= this.stored.untilMs) {
      const isStored = await external.isStored(this.subject);
      const untilMs = isStored ? Number.POSITIVE_INFINITY : clock.nowMs() + NO_STREAM_MS;
      this.stored = { isStored, untilMs };
    }
    return this.stored.isStored;
  }

  /** Visits the messages of a batch; returns how many were left out because they had become too old. */
  private each(data: Buffer, visit: (payload: Buffer, headers: Record<string, string>) => void): number {
    const { view } = this;
    const nowUs = this.context.ports.clock.wallUs();
    let expired = 0;
    view.reset(data);
    const careful = (view.hop.flags & BATCH_FLAGS.expiry) !== 0;
    while (view.next()) {
      if (careful && isExpired(view, nowUs)) expired++;
      else visit(view.payload(), messageHeaders(view));
    }
    return expired;
  }
}

/** `nats: plant.readings` */
export const natsTarget: TargetPlugin<string> = {
  kind: "nats",
  nameOf: (subject) => subject,
  specOf: (subject) => subject,
  create: (subject, context) => new NatsTarget(subject, context),
};
