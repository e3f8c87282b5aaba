/** Takes what one app publishes: checks, puts onto the lanes, and tells the app what became of it, in order. */
import type { EventSender, EventTicket, TelemetrySender } from "@myelin/bus";
import {
  type app,
  type Channel,
  type EnvelopeExtras,
  Lane,
  MAX_PAYLOAD_BYTES,
  toAppErrorMessage,
} from "@myelin/contract";
import { AppError, type Clock, type TokenBucket } from "@myelin/kernel";
import type { Tracing } from "@myelin/observability";
import type { AppChannels } from "./app-channels.js";
import { extrasOf, isPlain } from "./extras.js";
import { PublishFrame } from "./publish-frame.js";
import { tracedPublish } from "./publish-trace.js";
import type { BridgeSettings } from "./settings.js";

/** What all publishers of a bridge share. */
export interface PublishLanes {
  readonly telemetry: TelemetrySender;
  readonly events: EventSender;
  readonly channels: AppChannels;
  /** Undefined: nothing is traced. */
  readonly tracing: Tracing | undefined;
}

/** What a publisher needs of its session. */
export interface PublisherPorts {
  readonly app: string;
  readonly clock: Clock;
  readonly settings: BridgeSettings["publish"];
  /** Shared by all sessions of the app on this bridge. */
  readonly bucket: TokenBucket;
  reply(result: app.PublishResult): void;
  /** True: stop reading from the app; called on changes only. */
  pause(paused: boolean): void;
  refused(error: AppError): void;
}

interface Unsettled {
  readonly sequence: number;
  readonly bytes: number;
  remaining: number;
  error: AppError | undefined;
}

/**
 * A publish is taken whole or not at all, as far as its own content goes. At most `maxUnsettled` publishes and
 * `maxUnsettledBytes` wait for their outcome or for a congested lane; then the app is no longer read.
 */
export class Publisher implements EventTicket {
  readonly #lanes: PublishLanes;
  readonly #ports: PublisherPorts;
  readonly #frame = new PublishFrame();
  readonly #channels: Channel[] = [];
  readonly #extras: (EnvelopeExtras | undefined)[] = [];
  #unsettled: Unsettled[] = [];
  /** The number of `#unsettled[0]`; events carry these numbers as their ticket number. */
  #base = 0;
  #waiting: Buffer[] = [];
  #bytes = 0;
  #paused = false;
  #doneSequence = 0;
  #replyScheduled = false;
  #closed = false;

  constructor(lanes: PublishLanes, ports: PublisherPorts) {
    this.#lanes = lanes;
    this.#ports = ports;
  }

  /** Bytes of publishes that have no outcome yet. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Takes the body of a publish frame; the bytes must not change while it waits. */
  publish(body: Buffer): void {
    if (this.#waiting.length > 0 || this.#lanes.telemetry.congested || this.#lanes.events.congested) {
      this.#waiting.push(body);
      this.#bytes += body.length;
    } else this.#take(body);
    this.#adjust();
  }

  /** A lane's congestion has ended. */
  resume(): void {
    while (
      this.#waiting.length > 0 &&
      !this.#closed &&
      !this.#lanes.telemetry.congested &&
      !this.#lanes.events.congested
    ) {
      const body = this.#waiting.shift()!;
      this.#bytes -= body.length;
      this.#take(body);
    }
    this.#adjust();
  }

  /** Outcomes that come later go nowhere: the app repeats what it has no result for. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
    this.#bytes = 0;
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      const entry = this.#unsettled[numbers[i]! - this.#base];
      if (entry === undefined) continue;
      entry.remaining--;
      entry.error ??= error;
    }
    this.#advance();
  }

  #take(body: Buffer): void {
    const frame = this.#frame;
    let sequence = 0;
    try {
      frame.reset(body);
      sequence = frame.sequence;
      this.#check();
    } catch (thrown) {
      const error = AppError.from(thrown);
      this.#ports.refused(error);
      this.#track({ sequence: sequence || frame.sequence, bytes: 0, remaining: 0, error });
      this.#advance();
      return;
    }
    const events = frame.lane === Lane.EVENT;
    const number = this.#track({
      sequence,
      bytes: body.length,
      remaining: events ? frame.count : 0,
      error: undefined,
    });
    if (events) this.#appendEvents(number);
    else this.#appendTelemetry();
    this.#advance();
  }

  /** Walks all envelopes before the first is appended, so that a bad one refuses the publish as a whole. */
  #check(): void {
    const { view, count } = this.#frame;
    if (this.#frame.lane === Lane.UNSPECIFIED) this.#frame.lane = Lane.TELEMETRY;
    const { lane } = this.#frame;
    if (lane !== Lane.TELEMETRY && lane !== Lane.EVENT) {
      throw new AppError(
        "contract.bad_envelope",
        `apps publish on the telemetry and event lanes, not on ${lane}`,
      );
    }
    const { channels } = this.#lanes;
    for (let i = 0; view.next(); i++) {
      try {
        const payload = view.payloadEnd - view.payloadStart;
        if (payload > MAX_PAYLOAD_BYTES)
          throw new AppError("contract.bad_envelope", `${payload} bytes of payload`);
        const channel = channels.of(view, lane, this.#ports.app);
        this.#channels[i] = channel;
        this.#extras[i] = isPlain(view) ? undefined : extrasOf(view, channel.head);
      } catch (thrown) {
        const error = AppError.from(thrown);
        throw new AppError("contract.bad_envelope", `envelope ${i} of ${count}: ${error.message}`, {
          details: { index: i },
          cause: thrown,
        });
      }
    }
    view.rewind();
    if (!this.#ports.bucket.take(this.#ports.clock.nowMs(), count)) {
      const { perSecond } = this.#ports.settings;
      throw new AppError(
        "limit.rate",
        `${this.#ports.app} publishes more than ${perSecond} envelopes a second`,
        {
          details: { perSecond },
        },
      );
    }
  }

  #appendTelemetry(): void {
    const { view } = this.#frame;
    const { telemetry } = this.#lanes;
    for (let i = 0; view.next(); i++) {
      const extras = this.#extrasOf(i);
      if (extras === undefined)
        telemetry.append(this.#channels[i]!, view.bytes, view.payloadStart, view.payloadEnd);
      else telemetry.appendWith(this.#channels[i]!, view.bytes, view.payloadStart, view.payloadEnd, extras);
    }
  }

  #appendEvents(number: number): void {
    const { view } = this.#frame;
    const { events } = this.#lanes;
    for (let i = 0; view.next(); i++) {
      events.append(
        this.#channels[i]!,
        view.bytes,
        view.payloadStart,
        view.payloadEnd,
        this,
        number,
        this.#extrasOf(i),
      );
    }
  }

  #extrasOf(i: number): EnvelopeExtras | undefined {
    const extras = this.#extras[i];
    const { tracing } = this.#lanes;
    return tracing === undefined
      ? extras
      : tracedPublish(tracing, this.#ports.app, this.#channels[i]!, extras);
  }

  #track(entry: Unsettled): number {
    this.#unsettled.push(entry);
    this.#bytes += entry.bytes;
    return this.#base + this.#unsettled.length - 1;
  }

  /** Answers for everything at the head that has its outcome. */
  #advance(): void {
    let done = 0;
    for (const entry of this.#unsettled) {
      if (entry.remaining > 0) break;
      done++;
      this.#bytes -= entry.bytes;
      this.#doneSequence = entry.sequence;
      if (entry.error === undefined) this.#scheduleReply();
      else if (!this.#closed) {
        this.#ports.reply({ sequence: entry.sequence, error: toAppErrorMessage(entry.error) });
      }
    }
    if (done === 0) return;
    this.#unsettled.splice(0, done);
    this.#base += done;
    this.#adjust();
  }

  #scheduleReply(): void {
    if (this.#replyScheduled) return;
    this.#replyScheduled = true;
    setImmediate(() => {
      this.#replyScheduled = false;
      if (!this.#closed) this.#ports.reply({ sequence: this.#doneSequence, error: undefined });
    });
  }

  #adjust(): void {
    if (this.#closed) return;
    const { maxUnsettled, maxUnsettledBytes } = this.#ports.settings;
    const count = this.#unsettled.length + this.#waiting.length;
    const full = count >= maxUnsettled || this.#bytes >= maxUnsettledBytes;
    const roomy = count <= maxUnsettled / 2 && this.#bytes <= maxUnsettledBytes / 2;
    if (!this.#paused && full) {
      this.#paused = true;
      this.#ports.pause(true);
    } else if (this.#paused && roomy) {
      this.#paused = false;
      this.#ports.pause(false);
    }
  }
}
