/** From here to the broker: messages under the identifiers of the bridge's session, and what the broker answers to them. */
import { AppError } from "@myelin/kernel";
import type { KeptMessage, KeptSession } from "../../core/session-home.js";
import type { SubscriberMessage } from "../../core/subscriptions.js";
import { type BridgeContext, countDropped } from "../bridge.js";
import { crossedBy, mayGoOut, withCrossing } from "./crossings.js";
import { answerOf, type CrossingRules } from "./intake.js";
import { propertiesOf, secondsLeft } from "./properties.js";
import { ANSWER, type Offer, type Remote } from "./remote.js";
import type { TopicMaps } from "./topic-maps.js";

/** Bytes that wait for a slow broker before messages of QoS 0 are dropped. */
const MAX_UNSENT_BYTES = 1024 * 1024;

/** Reason codes that stand for the message, not for the moment: not authorized, topic name invalid, packet too large, payload format invalid. */
const HOPELESS = new Set([0x87, 0x90, 0x95, 0x99]);

/** Settings that concern what goes out. */
export interface OutgoingRules extends CrossingRules {
  readonly isVersion5: boolean;
}

interface Waiting {
  readonly packetId: number;
  readonly bytes: Buffer;
}

export class Outgoing {
  private readonly inflight = new Set<number>();
  private waiting: Waiting[] = [];
  private waitingFrom = 0;

  constructor(
    private readonly remote: Remote,
    private readonly offer: Offer,
    private readonly ctx: BridgeContext,
    private readonly maps: TopicMaps,
    private readonly kept: KeptSession,
    private readonly rules: OutgoingRules,
    /** The broker cannot take a message now: it comes again with the next connection. */
    private readonly failed: (error: AppError) => void,
  ) {}

  /** For operators: sent and not acknowledged, and waiting for the broker's receive maximum. */
  get figures(): { readonly inflight: number; readonly queued: number } {
    return { inflight: this.inflight.size, queued: this.waiting.length - this.waitingFrom };
  }

  /** See `SessionHolder.deliverKept`: false when it never will be sent. */
  deliver({ message, tags, packetId, qos, dup }: KeptMessage): boolean {
    const { remote, offer, ctx, rules } = this;
    const headers = message.extras()?.headers;
    const crossed = crossedBy(headers, message.deviceId);
    if (!mayGoOut(crossed, rules.mark, rules.maxCrossed)) return this.drop("crossed");
    const left = secondsLeft(ctx.clock, message.extras());
    if (left === undefined) return this.drop("expired");
    if (qos === 0 && remote.waiting > MAX_UNSENT_BYTES) return this.drop("slow_broker");
    // What a broker does not offer it is not sent; less is acknowledged sooner.
    const sentQos = Math.min(qos, offer.maximumQos) as 0 | 1 | 2;
    const { topic, keepsRetain } = this.maps.outward(message.path, tags);
    const bytes = remote.encode({
      cmd: "publish",
      topic,
      payload: message.bytes.subarray(message.payloadStart, message.payloadEnd),
      qos: sentQos,
      dup: dup && sentQos > 0,
      retain: message.retain && keepsRetain && offer.retainAvailable,
      ...(sentQos > 0 && { messageId: packetId }),
      ...(rules.isVersion5 && {
        properties: propertiesOf(message, left, withCrossing(headers, crossed, `${rules.mark}>`)),
      }),
    });
    if (bytes.length > offer.maximumPacketSize) return this.drop("too_large");
    if (sentQos === 0) {
      this.write(bytes);
      if (qos > 0) this.kept.progress(packetId, "acknowledged", 0);
    } else {
      this.waiting.push({ packetId, bytes });
      this.pump();
    }
    return true;
  }

  /** A message of QoS 0 that this listener has matched. */
  deliverMatched(message: SubscriberMessage, tags: readonly number[]): boolean {
    return this.deliver({ message, tags, packetId: 0, qos: 0, dup: false });
  }

  /** For a message of this connection or of one before: PUBREC is recorded. */
  release(packetId: number): void {
    this.inflight.add(packetId);
    this.remote.write(answerOf(ANSWER.pubrel, packetId));
  }

  answered(answer: "puback" | "pubrec" | "pubcomp", packetId: number, reason: number): void {
    const isRefused = reason >= 0x80 && answer !== "pubcomp";
    if (isRefused && !HOPELESS.has(reason)) {
      const text = `the broker cannot take a message now (reason code ${reason})`;
      this.failed(new AppError("target.unavailable", text, { details: { reason } }));
      return;
    }
    if (isRefused) countDropped(this.ctx.counters, "out", "refused");
    if (answer === "pubrec" && !isRefused) {
      this.kept.progress(packetId, "received", reason);
      return;
    }
    this.inflight.delete(packetId);
    this.kept.progress(packetId, answer === "pubcomp" ? "completed" : "acknowledged", reason);
    this.pump();
  }

  private pump(): void {
    while (this.waitingFrom < this.waiting.length && this.inflight.size < this.offer.receiveMaximum) {
      const { packetId, bytes } = this.waiting[this.waitingFrom++]!;
      this.inflight.add(packetId);
      this.write(bytes);
    }
    if (this.waitingFrom === 0 || this.waitingFrom * 2 < this.waiting.length) return;
    this.waiting = this.waiting.slice(this.waitingFrom);
    this.waitingFrom = 0;
  }

  private write(bytes: Buffer): void {
    this.ctx.counters.messages.out += 1;
    this.remote.write(bytes);
  }

  private drop(reason: string): false {
    countDropped(this.ctx.counters, "out", reason);
    return false;
  }
}
