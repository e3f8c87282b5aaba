/** The owner's end of the event stream: takes the batches of one partition in order, as many as it may hold. */

import { BatchView, STREAMS, subjects } from "@myelin/contract";
import { AppError, type Backoff, backoff, type Timer, withDeadline } from "@myelin/kernel";
import { type ConsumerInfo, jetstreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import type { Bus, EventConsumer, EventDelivery, Unsubscribe } from "../api.js";
import { type Counted, type ProcessBooks, processBooksOf } from "../process-books.js";
import { busError, JS_ERROR, jetStreamErrorNumber } from "./errors.js";
import { type NatsBus, natsBusOf } from "./nats-bus.js";
import type { WireMessage } from "./wire/message.js";

/** `epoch` is the lease's: a consumer of a newer epoch ends the older one for good. */
export interface EventConsumerOptions {
  readonly partition: number;
  readonly epoch: number;
  /** Batches delivered or asked for and not acknowledged. */
  readonly maxMessages?: number;
  /** Their bytes; above the largest batch there may be. */
  readonly maxBytes?: number;
}

const DEFAULT_MAX_MESSAGES = 256;
const DEFAULT_MAX_BYTES = 16 * 1024 * 1024;
// Also how long a lost acknowledgement is unknown to the server; the work itself may take longer, see `#onMessage`.
const ACK_WAIT_MS = 30_000;
const PULL_EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 1_000;
/** Silence of this length while a pull is out means that the consumer is gone. */
const SILENCE_MS = 3_500;
const CHECK_MS = 500;
/** How long an owner whose consumer was deleted waits before it looks whether it is still the newest. */
const GIVE_WAY_MS = 1_000;
/** How often an owner that is just giving way may get in between deleting and making a consumer. */
const MAX_CROSSINGS = 10;
const CONFIRM_DEADLINE_MS = 2_000;
/** Longer than it takes to delete a consumer after it was halted. */
const HALT_MS = 60_000;
const REOPEN = { initialMs: 50, maxMs: 2_000 };
/** Subject, reply and headers of a delivery, roughly. */
const FRAME_BYTES = 200;
/** In the metadata of a consumer: up to where owners before its own may have been given batches. */
const DELIVERED_BEFORE = "delivered_before";
const ACK = Buffer.from("+ACK");
/** A smaller piece of a larger buffer is copied, so that it does not keep the whole of it alive. */
const SHARE_FACTOR = 4;

interface InHand extends EventDelivery, Counted {
  reply: string;
  readonly bytes: number;
}

/** A consumer of the events of one partition, for the holder of its lease. */
export function createEventConsumer(bus: Bus, options: EventConsumerOptions): EventConsumer {
  return new PullingEventConsumer(natsBusOf(bus), options);
}

class PullingEventConsumer implements EventConsumer {
  readonly name: string;
  readonly #bus: NatsBus;
  readonly #books: ProcessBooks;
  readonly #view = new BatchView();
  readonly #partition: number;
  readonly #epoch: number;
  readonly #consumer: string;
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #waits: Backoff = backoff(REOPEN);
  readonly #stopping = new AbortController();
  /** Delivered and not acknowledged, by stream sequence. */
  readonly #inHand = new Map<number, InHand>();
  #inHandBytes = 0;
  /** Everything up to here was delivered in this ownership: it is in hand, or it is acknowledged. */
  #delivered = 0;
  /** What is above was delivered to no owner before this one; undefined until that is known. */
  #deliveredBefore: number | undefined;
  #handler: (delivery: EventDelivery) => void = () => undefined;
  #inbox: string | undefined;
  #endInbox: Unsubscribe = () => undefined;
  #endWatch: Unsubscribe = () => undefined;
  /** What the server may still send without being asked again. */
  #asked = { messages: 0, bytes: 0 };
  #heardMs = 0;
  #closedMs = Number.NEGATIVE_INFINITY;
  #isPaused = false;
  #opening: Promise<void> | undefined;
  #checking: Timer | undefined;
  #onEmpty: (() => void) | undefined;
  #lastAcked = "";

  constructor(bus: NatsBus, options: EventConsumerOptions) {
    const { partition, epoch, maxMessages = DEFAULT_MAX_MESSAGES, maxBytes = DEFAULT_MAX_BYTES } = options;
    this.name = `event-consumer-${partition}`;
    this.#bus = bus;
    this.#books = processBooksOf(bus);
    this.#partition = partition;
    this.#epoch = epoch;
    this.#consumer = consumerName(partition, epoch);
    this.#maxMessages = maxMessages;
    this.#maxBytes = maxBytes;
  }

  get pending(): number {
    return this.#inHand.size;
  }

  async hasAll(): Promise<boolean> {
    try {
      const { consumers } = await jetstreamManager(this.#bus.client, { checkAPI: false });
      const { num_pending, delivered } = await consumers.info(STREAMS.events.name, this.#consumer);
      return num_pending === 0 && delivered.stream_seq <= this.#delivered;
    } catch (thrown) {
      throw busError(thrown, `cannot look at the events of partition ${this.#partition}`);
    }
  }

  onDelivery(handler: (delivery: EventDelivery) => void): void {
    this.#handler = handler;
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#open(signal);
    this.#endWatch = this.#bus.onConnectionChange((connected) => {
      this.#close();
      if (connected) this.#reopen();
    });
    this.#checking = this.#bus.clock.setInterval(() => this.#check(), CHECK_MS);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new AppError("operation.aborted", `${this.name} was asked to stop`));
    this.#bus.clock.clear(this.#checking);
    this.#endWatch();
    this.#close();
    await this.#opening;
  }

  async drain(deadlineMs: number): Promise<boolean> {
    await this.stop();
    if (this.#inHand.size > 0) {
      const emptied = new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
      const { clock } = this.#bus;
      await withDeadline(undefined, deadlineMs, () => emptied, { clock }).catch(() => undefined);
    }
    await this.#confirm();
    return this.#inHand.size === 0;
  }

  /** The next owner must find all acknowledgements counted: they are worked off in order, and an answered one tells of the others. */
  async #confirm(): Promise<void> {
    if (this.#lastAcked === "") return;
    // Without an answer the next owner gets some batches again, marked as such.
    await this.#bus.request(this.#lastAcked, ACK, CONFIRM_DEADLINE_MS).catch(() => undefined);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#pull();
  }

  /** Begins anew at the oldest batch that is not acknowledged, under this epoch's name. */
  async #open(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#replaceConsumers(signal);
        break;
      } catch (thrown) {
        // The owner before came in between once more; it gives way as soon as it sees the newer epoch.
        const isCrossed = jetStreamErrorNumber(thrown) === JS_ERROR.consumerNotUnique;
        if (isCrossed && attempt < MAX_CROSSINGS && !signal.aborted) continue;
        throw busError(thrown, `cannot consume events of partition ${this.#partition}`);
      }
    }
    if (signal.aborted) return;
    // A new inbox for each opening: what the server still sends to the one before has no listener and comes again in order.
    const inbox = this.#bus.newInbox();
    this.#inbox = inbox;
    this.#asked = { messages: 0, bytes: 0 };
    this.#endInbox = this.#bus.subscribeRaw(inbox, (message) => {
      if (this.#inbox !== inbox) return;
      this.#heardMs = this.#bus.clock.nowMs();
      if (message.subject === inbox) this.#onStatus(message);
      else this.#onMessage(message);
      this.#pull();
    });
    this.#waits.reset();
    this.#pull();
  }

  /** Deletes the consumers of this and older epochs and makes this one's. */
  async #replaceConsumers(signal: AbortSignal): Promise<void> {
    const stream = STREAMS.events.name;
    const { consumers, streams } = await jetstreamManager(this.#bus.client, { checkAPI: false });
    let before = this.#deliveredBefore;
    for await (const info of consumers.list(stream)) {
      const epoch = epochOf(info, this.#partition);
      if (epoch === undefined) continue;
      if (epoch > this.#epoch) {
        const text = `epoch ${epoch} has taken partition ${this.#partition} from epoch ${this.#epoch}`;
        throw new AppError("bus.stale_epoch", text);
      }
      if (epoch < this.#epoch) {
        // Its owner may be frozen with requests out: it is given nothing more while its position is read.
        const { delivered, config } = await this.#halted(stream, info);
        const told = Number(config.metadata?.[DELIVERED_BEFORE] ?? 0);
        before = Math.max(before ?? 0, told, delivered.stream_seq);
      }
      await consumers.delete(stream, info.name).catch((thrown: unknown) => {
        if (jetStreamErrorNumber(thrown) !== JS_ERROR.consumerNotFound) throw thrown;
      });
    }
    if (signal.aborted) return;
    // A server that was restarted knows no consumer any more, and with it nobody knows what has been delivered: it may be everything.
    before ??= (await streams.info(stream)).state.last_seq;
    this.#deliveredBefore = before;
    await consumers.add(stream, {
      durable_name: this.#consumer,
      filter_subject: subjects.eventBatch(this.#partition),
      ack_policy: "explicit",
      ack_wait: nanos(ACK_WAIT_MS),
      max_ack_pending: this.#maxMessages,
      // What is acknowledged is deleted from the stream: the consumer itself holds nothing that must outlive the server.
      mem_storage: true,
      metadata: { [DELIVERED_BEFORE]: String(before) },
    });
  }

  /** What a consumer has delivered when it delivers no more. */
  async #halted(stream: string, info: ConsumerInfo): Promise<ConsumerInfo> {
    const { consumers } = await jetstreamManager(this.#bus.client, { checkAPI: false });
    try {
      await consumers.pause(stream, info.name, new Date(this.#bus.clock.wallUs() / 1000 + HALT_MS));
      return await consumers.info(stream, info.name);
    } catch (thrown) {
      if (jetStreamErrorNumber(thrown) !== JS_ERROR.consumerNotFound) throw thrown;
      return info;
    }
  }

  #close(): void {
    this.#inbox = undefined;
    this.#endInbox();
    this.#endInbox = () => undefined;
  }

  #reopen(): void {
    if (this.#opening !== undefined) return;
    this.#close();
    const { signal } = this.#stopping;
    this.#opening = (async () => {
      while (!signal.aborted && this.#bus.connected) {
        try {
          await this.#open(signal);
          return;
        } catch (thrown) {
          const error = AppError.from(thrown);
          if (error.code === "bus.stale_epoch") {
            // For good: whoever holds the lease now has its own consumer, and the lease will tell this process.
            this.#bus.logger.warn(
              { partition: this.#partition, code: error.code },
              "events have a newer owner",
            );
            return;
          }
        }
        // An aborted sleep ends the loop by its condition.
        await this.#bus.clock.sleep(this.#waits.nextMs(), signal).catch(() => undefined);
      }
    })().finally(() => {
      this.#opening = undefined;
    });
  }

  #check(): void {
    if (!this.#bus.connected || this.#opening !== undefined || this.#stopping.signal.aborted) return;
    const nowMs = this.#bus.clock.nowMs();
    if (nowMs - this.#closedMs < GIVE_WAY_MS) return;
    const isSilent = nowMs - this.#heardMs > SILENCE_MS;
    if (this.#inbox === undefined || (this.#asked.messages > 0 && isSilent)) this.#reopen();
    else this.#pull();
  }

  /** Asks for as much as may be held, in requests of at least a quarter of that, or of whatever is possible when idle. */
  #pull(): void {
    if (this.#isPaused || this.#inbox === undefined || this.#stopping.signal.aborted) return;
    const messages = this.#maxMessages - this.#inHand.size - this.#asked.messages;
    const bytes = this.#maxBytes - this.#inHandBytes - this.#asked.bytes;
    const isIdle = this.#asked.messages === 0 && this.#inHand.size === 0;
    if (!isIdle && (messages * 4 < this.#maxMessages || bytes * 4 < this.#maxBytes)) return;
    const request = {
      batch: messages,
      max_bytes: bytes,
      expires: nanos(PULL_EXPIRES_MS),
      idle_heartbeat: nanos(HEARTBEAT_MS),
    };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${STREAMS.events.name}.${this.#consumer}`;
    if (!this.#bus.publish(subject, Buffer.from(JSON.stringify(request)), this.#inbox)) return;
    this.#asked.messages += messages;
    this.#asked.bytes += bytes;
    this.#heardMs = this.#bus.clock.nowMs();
  }

  #onStatus(message: WireMessage): void {
    const head = message.headers;
    const code = head?.code ?? 0;
    if (code === 100) return;
    const left = head?.get("Nats-Pending-Messages") ?? "";
    if (left !== "") {
      // A request has ended with this much of it unused: none when it was filled ("409 Batch Completed"), some when it expired or
      // the next batch is larger than what was left.
      this.#asked.messages = Math.max(0, this.#asked.messages - Number(left));
      this.#asked.bytes = Math.max(0, this.#asked.bytes - Number(head?.get("Nats-Pending-Bytes") || 0));
    } else if (code === 409 || code === 503 || code === 404) {
      // Most likely deleted by a newer owner, which is given the time to make its own; else the next check opens it again.
      this.#close();
      this.#closedMs = this.#bus.clock.nowMs();
    }
  }

  #onMessage(message: WireMessage): void {
    this.#asked.messages = Math.max(0, this.#asked.messages - 1);
    this.#asked.bytes = Math.max(0, this.#asked.bytes - message.data.length - FRAME_BYTES);
    // The server counts headers and subjects to the byte; what this misses is forgotten here.
    if (this.#asked.messages === 0) this.#asked.bytes = 0;
    const { reply } = message;
    const sequence = streamSequence(reply);
    const held = this.#inHand.get(sequence);
    // Still being worked on: the server repeats after ACK_WAIT_MS and at each opening. The newest reply is the one to answer.
    if (held !== undefined) held.reply = reply;
    // Done, but the server has not heard of it.
    else if (sequence <= this.#delivered) this.#bus.publish(reply, ACK);
    else this.#take(message.data, sequence, reply);
  }

  #take(data: Uint8Array, streamSequence: number, reply: string): void {
    this.#delivered = streamSequence;
    const isShared = data.byteLength * SHARE_FACTOR < data.buffer.byteLength;
    const bytes = isShared ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const delivery: InHand = {
      data: bytes,
      streamSequence,
      redelivered: streamSequence <= (this.#deliveredBefore ?? 0),
      reply,
      bytes: bytes.length,
      ack: () => this.#books.whenBooked(delivery),
      booked: () => this.#acknowledge(delivery),
      nak: (delayMs) => this.#again(delivery, delayMs),
    };
    this.#inHand.set(streamSequence, delivery);
    this.#inHandBytes += delivery.bytes;
    this.#noteLink(bytes);
    this.#handler(delivery);
  }

  #noteLink(data: Uint8Array): void {
    try {
      this.#books.reached(this.#view.reset(data).hop);
    } catch {
      // What cannot be read is booked by who takes it.
    }
  }

  #acknowledge(delivery: InHand): void {
    if (!this.#inHand.delete(delivery.streamSequence)) return;
    this.#inHandBytes -= delivery.bytes;
    this.#lastAcked = delivery.reply;
    // Not sent: the server delivers it again when it is back, and it is acknowledged then.
    this.#bus.publish(delivery.reply, ACK);
    if (this.#inHand.size === 0) this.#onEmpty?.();
    this.#pull();
  }

  /** Kept here rather than given back: the server would send its successors first. */
  #again(delivery: InHand, delayMs: number): void {
    this.#bus.clock.setTimeout(() => {
      if (this.#inHand.has(delivery.streamSequence) && !this.#stopping.signal.aborted)
        this.#handler(delivery);
    }, delayMs);
  }
}

function consumerName(partition: number, epoch: number): string {
  return `owner-${partition}-${epoch}`;
}

/** The epoch in the name of a consumer of this partition; undefined for other consumers. */
function epochOf(info: ConsumerInfo, partition: number): number | undefined {
  const [owner, of, epoch] = info.name.split("-");
  return owner === "owner" && of === String(partition) ? Number(epoch) : undefined;
}

/** From the reply subject of a delivery: `$JS.ACK.` stream, consumer, deliveries, stream sequence… (ADR-15: with domain and account too). */
function streamSequence(reply: string): number {
  const tokens = reply.split(".");
  return Number(tokens.length === 9 ? tokens[5] : tokens[7]);
}
