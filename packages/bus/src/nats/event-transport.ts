/** The way of event batches into the stream, on the bus's connection. */

import { subjects } from "@myelin/contract";
import type { Bus, EventSender, Unsubscribe } from "../api.js";
import type { PublishAnswer } from "../event-link.js";
import { BatchingEventSender, type EventTransport } from "../event-sender.js";
import { sharedStamp } from "../shared-stamp.js";
import type { SenderOptions } from "../telemetry-sender.js";
import { jetStreamError } from "./errors.js";
import { type NatsBus, natsBusOf } from "./nats-bus.js";
import type { WireMessage } from "./wire/message.js";

const AGAIN: PublishAnswer = { kind: "again" };
const STORED: PublishAnswer = { kind: "stored" };

/** An event sender over `bus`. It owns the links of its name and `bus.incarnation`. */
export function createEventSender(bus: Bus, options: SenderOptions): EventSender {
  const nats = natsBusOf(bus);
  const { partitions, clock = nats.clock } = options;
  return new BatchingEventSender(new NatsEventTransport(nats, options.sender ?? nats.instance), {
    partitions,
    clock,
    logger: nats.logger,
    stamp: sharedStamp(bus),
  });
}

class NatsEventTransport implements EventTransport {
  readonly #bus: NatsBus;
  readonly #inbox: string;

  constructor(
    bus: NatsBus,
    readonly sender: string,
  ) {
    this.#bus = bus;
    this.#inbox = bus.newInbox();
  }

  get incarnation(): number {
    return this.#bus.incarnation;
  }
  get connected(): boolean {
    return this.#bus.connected;
  }
  get maxPayloadBytes(): number {
    return this.#bus.maxPayloadBytes;
  }

  publish(partition: number, token: number, data: Buffer, messageId: string): boolean {
    return this.#bus.publishWithId(
      subjects.eventBatch(partition),
      data,
      `${this.#inbox}.${partition}.${token}`,
      messageId,
    );
  }

  onAnswer(listener: (partition: number, token: number, answer: PublishAnswer) => void): Unsubscribe {
    return this.#bus.subscribeRaw(`${this.#inbox}.>`, (message) => {
      const answer = toAnswer(message);
      if (answer === undefined) return;
      const [partition, token] = message.subject.slice(this.#inbox.length + 1).split(".");
      listener(Number(partition), Number(token), answer);
    });
  }

  onConnectionChange(listener: (connected: boolean) => void): Unsubscribe {
    return this.#bus.onConnectionChange(listener);
  }
}

/** Undefined for what is not an answer of a stream: the sender then asks again when its time has come. */
function toAnswer(message: WireMessage): PublishAnswer | undefined {
  // An empty 503: no stream takes the subject, or it has no leader.
  if (message.data.length === 0) return AGAIN;
  let body: { stream?: unknown; error?: { code?: number; err_code?: number; description?: string } };
  try {
    body = JSON.parse(message.data.toString("utf8")) as typeof body;
  } catch {
    return undefined;
  }
  if (typeof body.stream === "string" && body.error === undefined) return STORED;
  if (body.error === undefined) return undefined;
  const { code = 0, err_code: number = 0, description = "" } = body.error;
  const error = jetStreamError(number, code, "the event stream refused a batch", description);
  return error.code === "bus.stream_unavailable" ? AGAIN : { kind: "refused", error };
}
