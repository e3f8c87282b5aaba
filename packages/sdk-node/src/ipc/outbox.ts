/** What the application publishes, on its way to the bridge: bounded, in order, events repeated until their outcome is known. */
import { randomBytes } from "node:crypto";
import {
  type app,
  encodeAppFrame,
  envelope,
  fromAppErrorMessage,
  isTopicName,
  Lane,
  MAX_PAYLOAD_BYTES,
} from "@myelin/contract";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import { check } from "../check.js";
import { type PayloadInput, toPayload } from "../payload.js";
import type { Connection } from "./connection.js";
import { type KindWord, kinds, type QualityWord, qualities } from "./words.js";

/** One message to publish. A string payload is sent as UTF-8, an object as JSON. */
export interface OutgoingMessage {
  /** The device it is about; left out: the app speaks for itself. */
  readonly deviceId?: string;
  /** Topic that others subscribe to; no wildcards. */
  readonly path: string;
  readonly payload: PayloadInput;
  readonly contentType?: string;
  readonly tenant?: string;
  readonly kind?: KindWord;
  /** The same id twice is delivered once; the client makes one for each event otherwise. At most 256 bytes. */
  readonly id?: string | Uint8Array;
  readonly sourceTime?: Date;
  readonly expiresAt?: Date;
  readonly quality?: QualityWord;
  readonly headers?: Readonly<Record<string, string>>;
  readonly traceparent?: string;
}

/** Plain counters for the health report. */
export interface OutboxCounters {
  published: number;
  /** Telemetry that found no connection or no room, or that the bridge refused. */
  dropped: number;
  stored: number;
  refused: number;
}

/** What the outbox needs of the client. */
export interface OutboxPorts {
  readonly clock: Clock;
  readonly maxUnsentBytes: () => number;
  readonly timeoutMs: () => number;
  onError(error: AppError): void;
}

interface EventPublish {
  sequence: number;
  readonly envelopes: envelope.Envelope[];
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: AppError) => void;
  timer: Timer | undefined;
  sent: boolean;
}

/** A frame stays well below the least that bridges accept, unless one message alone is larger. */
const FRAME_BYTES = 512 * 1024;
const FRAME_ENVELOPES = 8_192;
/** What an envelope costs beside its payload, roughly and not too low. */
const ENVELOPE_BYTES = 256;

/** Sequence numbers go on over reconnects; the bridge only echoes them. */
export class Outbox {
  readonly counters: OutboxCounters = { published: 0, dropped: 0, stored: 0, refused: 0 };
  readonly #ports: OutboxPorts;
  readonly #idHead = randomBytes(10);
  #idCount = 0;
  #connection: Connection | undefined;
  #sequence = 0;
  #telemetry: envelope.Envelope[] = [];
  #telemetryBytes = 0;
  /** Events without an outcome, oldest first. */
  #events: EventPublish[] = [];
  #eventBytes = 0;
  #flushScheduled = false;
  readonly #roomWaiters: (() => void)[] = [];

  constructor(ports: OutboxPorts) {
    this.#ports = ports;
  }

  /** Publishes of events that have no outcome yet. */
  get openEvents(): number {
    return this.#events.length;
  }

  /** Nothing waits to be sent or stored. */
  get idle(): boolean {
    return this.#telemetry.length === 0 && this.#events.length === 0;
  }

  /** True while telemetry would be taken. */
  get hasRoom(): boolean {
    return this.#connection !== undefined && this.#telemetryBytes < this.#ports.maxUnsentBytes();
  }

  /** Telemetry: false when it was dropped. */
  publish(message: OutgoingMessage): boolean {
    const encoded = toEnvelope(message, "telemetry");
    this.counters.published += 1;
    if (!this.hasRoom) {
      this.counters.dropped += 1;
      return false;
    }
    this.#telemetry.push(encoded);
    this.#telemetryBytes += sizeOf(encoded);
    this.#schedule();
    return true;
  }

  /** @throws AppError as `IpcClient.publishEvents` says */
  async publishEvents(messages: readonly OutgoingMessage[]): Promise<void> {
    check(Array.isArray(messages), "publishEvents takes an array of messages");
    const chunks: envelope.Envelope[][] = [];
    let size = FRAME_BYTES;
    for (const message of messages) {
      const made = toEnvelope(message, "event");
      if (made.id.length === 0) made.id = this.#nextId();
      const bytes = sizeOf(made);
      if (size + bytes > FRAME_BYTES || chunks.at(-1)!.length >= FRAME_ENVELOPES) {
        chunks.push([]);
        size = 0;
      }
      chunks.at(-1)!.push(made);
      size += bytes;
    }
    this.counters.published += messages.length;
    const outcomes = await Promise.allSettled(chunks.map((chunk) => this.#publishChunk(chunk)));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** Resolves when there is room again; for senders that outrun the bridge. */
  async room(signal: AbortSignal): Promise<void> {
    while (!this.hasRoom) {
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => reject(AppError.from(signal.reason));
        signal.addEventListener("abort", abort, { once: true });
        this.#roomWaiters.push(() => {
          signal.removeEventListener("abort", abort);
          resolve();
        });
      });
    }
  }

  /** A new connection: what has no outcome is sent again, in order, before anything new. */
  connected(connection: Connection): void {
    this.#connection = connection;
    for (const event of this.#events) event.sent = false;
    this.#flush();
    this.#wake();
  }

  /** The connection is gone; telemetry that was not sent goes with it, events wait. */
  disconnected(): void {
    this.#connection = undefined;
    this.counters.dropped += this.#telemetry.length;
    this.#telemetry = [];
    this.#telemetryBytes = 0;
  }

  /** The transport takes frames again. */
  drained(): void {
    this.#flush();
    this.#wake();
  }

  result({ sequence, error }: app.PublishResult): void {
    const failure = error === undefined ? undefined : fromAppErrorMessage(error);
    let done = 0;
    let reported = false;
    for (const event of this.#events) {
      if (!event.sent || event.sequence > sequence) break;
      done++;
      if (failure !== undefined && event.sequence === sequence) {
        reported = true;
        this.#settle(event, failure);
      } else this.#settle(event, undefined);
    }
    this.#events.splice(0, done);
    if (failure !== undefined && !reported) {
      // A telemetry publish was refused, of which nobody kept the count: the error tells that it happened.
      this.counters.refused += 1;
      this.#ports.onError(failure);
    }
    this.#wake();
  }

  /** Everything without an outcome fails. */
  fail(error: AppError): void {
    this.disconnected();
    for (const event of this.#events.splice(0)) this.#settle(event, error);
    this.#wake();
  }

  async #publishChunk(envelopes: envelope.Envelope[]): Promise<void> {
    const bytes = envelopes.reduce((sum, e) => sum + sizeOf(e), 0);
    const timeoutMs = this.#ports.timeoutMs();
    if (this.#eventBytes > 0 && this.#eventBytes + bytes > this.#ports.maxUnsentBytes()) {
      throw new AppError(
        "queue.full",
        `${this.#eventBytes} bytes of events wait to be stored already; await earlier ones`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      const event: EventPublish = {
        sequence: 0,
        envelopes,
        bytes,
        resolve,
        reject,
        timer: undefined,
        sent: false,
      };
      event.timer = this.#ports.clock.setTimeout(() => {
        this.#events.splice(this.#events.indexOf(event), 1);
        this.#settle(
          event,
          new AppError(
            "operation.timeout",
            `no word within ${timeoutMs} ms of whether the events were stored`,
          ),
        );
      }, timeoutMs);
      this.#events.push(event);
      this.#eventBytes += bytes;
      this.#schedule();
    });
  }

  #settle(event: EventPublish, error: AppError | undefined): void {
    this.#ports.clock.clear(event.timer);
    this.#eventBytes -= event.bytes;
    if (error === undefined) {
      this.counters.stored += event.envelopes.length;
      event.resolve();
    } else {
      this.counters.refused += event.envelopes.length;
      event.reject(error);
    }
  }

  #schedule(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    for (const event of [...this.#events]) {
      if (connection.blocked) return;
      if (event.sent) continue;
      event.sent = true;
      event.sequence = ++this.#sequence;
      const refusal = this.#send(connection, Lane.EVENT, event.envelopes);
      if (refusal === undefined) continue;
      this.#events.splice(this.#events.indexOf(event), 1);
      this.#settle(event, refusal);
    }
    while (this.#telemetry.length > 0 && !connection.blocked) {
      const chunk = this.#takeTelemetry();
      this.#sequence += 1;
      const refusal = this.#send(connection, Lane.TELEMETRY, chunk);
      if (refusal === undefined) continue;
      this.counters.dropped += chunk.length;
      this.#ports.onError(refusal);
    }
  }

  #takeTelemetry(): envelope.Envelope[] {
    let bytes = 0;
    let count = 0;
    while (
      count < this.#telemetry.length &&
      count < FRAME_ENVELOPES &&
      (count === 0 || bytes < FRAME_BYTES)
    ) {
      bytes += sizeOf(this.#telemetry[count++]!);
    }
    this.#telemetryBytes -= bytes;
    return this.#telemetry.splice(0, count);
  }

  /** A frame that the bridge would end the stream for is refused here: sent again after each reconnection it would end them all. */
  #send(connection: Connection, lane: Lane, envelopes: envelope.Envelope[]): AppError | undefined {
    const frame = encodeAppFrame({
      $case: "publish",
      value: { sequence: this.#sequence, lane, envelopes },
    });
    const refusal = connection.tooLarge(frame);
    if (refusal === undefined) connection.sendBytes(frame);
    return refusal;
  }

  #wake(): void {
    if (!this.hasRoom) return;
    for (const waiter of this.#roomWaiters.splice(0)) waiter();
  }

  #nextId(): Buffer {
    const id = Buffer.alloc(16);
    this.#idHead.copy(id);
    id.writeUIntBE(this.#idCount++, 10, 6);
    return id;
  }
}

function sizeOf(e: envelope.Envelope): number {
  return e.payload.length + ENVELOPE_BYTES;
}

const MAX_ID_BYTES = 256;
const TEXTS = ["deviceId", "contentType", "tenant", "traceparent"] as const;

function toEnvelope(message: OutgoingMessage, lane: "telemetry" | "event"): envelope.Envelope {
  check(
    typeof message === "object" && message !== null && typeof message.path === "string",
    "a message to publish is an object with a path and a payload",
  );
  check(message.payload !== undefined, `the message for ${message.path} has no payload`);
  if (!isTopicName(message.path)) {
    throw bad(`the path ${JSON.stringify(message.path)} is empty or has wildcards or NUL`);
  }
  for (const name of TEXTS) {
    const value = message[name];
    check(value === undefined || typeof value === "string", `${name} of a message must be a string`);
  }
  const { kind, quality, headers = {} } = message;
  check(kind === undefined || kinds.toWire(kind) !== 0, `${kind} is no kind of message`);
  check(quality === undefined || qualities.toWire(quality) !== 0, `${quality} is no quality of a sample`);
  check(
    typeof headers === "object" && Object.values(headers).every((value) => typeof value === "string"),
    "headers of a message must be an object of strings",
  );
  const { payload, contentType, json } = toPayload(message.payload);
  check(
    message.id === undefined || typeof message.id === "string" || message.id instanceof Uint8Array,
    "the id of a message must be a string or bytes",
  );
  const id = typeof message.id === "string" ? Buffer.from(message.id) : (message.id ?? EMPTY);
  if (id.length > MAX_ID_BYTES) throw bad(`an id has ${id.length} bytes, ${MAX_ID_BYTES} are allowed`);
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw bad(`a payload has ${payload.length} bytes, ${MAX_PAYLOAD_BYTES} are allowed`);
  }
  const type = message.contentType ?? (json ? contentType : "");
  return envelope.Envelope.create({
    deviceId: message.deviceId ?? "",
    path: message.path,
    tenant: message.tenant ?? "",
    kind: kinds.toWire(kind ?? lane),
    contentType: type,
    payload,
    id: Buffer.from(id),
    sourceTimeUs: toUs("sourceTime", message.sourceTime),
    expiresAtUs: toUs("expiresAt", message.expiresAt),
    quality: qualities.toWire(quality),
    headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    traceparent: message.traceparent ?? "",
  });
}

const EMPTY = Buffer.alloc(0);

function toUs(name: string, date: Date | undefined): number {
  if (date === undefined) return 0;
  const us = date instanceof Date ? date.getTime() * 1000 : Number.NaN;
  check(us >= 0, `${name} of a message must be a Date after 1970`);
  return us;
}

function bad(what: string): AppError {
  return new AppError("contract.bad_envelope", what);
}
