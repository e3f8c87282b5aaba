/** One received message, as callbacks and iterators get it. */
import { envelope } from "@myelin/contract";
import type { KnownHead } from "./heads.js";
import {
  type KindWord,
  kinds,
  type LaneWord,
  type ProtocolWord,
  protocols,
  type QualityWord,
  qualities,
} from "./words.js";

/**
 * Safe to keep: it holds on to the bytes of its batch (up to some hundred kilobytes) until it is let go. The payload is a
 * view into those bytes, not a copy.
 */
export class Message {
  readonly lane: LaneWord;
  /** Perhaps seen before: an instance had it and did not acknowledge it. */
  readonly redelivered: boolean;
  readonly #head: KnownHead;
  readonly #bytes: Buffer;
  readonly #bodyStart: number;
  readonly #bodyEnd: number;
  readonly #payloadStart: number;
  readonly #payloadEnd: number;
  #rare: envelope.Envelope | undefined;

  /** Positions are offsets into `bytes`: of the envelope and of its payload. */
  constructor(
    head: KnownHead,
    bytes: Buffer,
    bodyStart: number,
    bodyEnd: number,
    payloadStart: number,
    payloadEnd: number,
    lane: LaneWord,
    redelivered: boolean,
  ) {
    this.#head = head;
    this.#bytes = bytes;
    this.#bodyStart = bodyStart;
    this.#bodyEnd = bodyEnd;
    this.#payloadStart = payloadStart;
    this.#payloadEnd = payloadEnd;
    this.lane = lane;
    this.redelivered = redelivered;
  }

  get tenant(): string {
    return this.#head.tenant;
  }
  get deviceId(): string {
    return this.#head.deviceId;
  }
  /** MQTT topic, URL path below the device, or MCP message type. */
  get path(): string {
    return this.#head.path;
  }
  get kind(): KindWord {
    return kinds.fromWire(this.#head.kind) ?? "telemetry";
  }
  /** Undefined when this SDK does not know the protocol. */
  get protocol(): ProtocolWord | undefined {
    return protocols.fromWire(this.#head.protocol);
  }
  get contentType(): string {
    return this.#head.contentType;
  }
  /** Name of the listener port that took it. */
  get port(): string {
    return this.#head.port;
  }
  get profile(): string {
    return this.#head.profile;
  }
  get payload(): Buffer {
    return this.#bytes.subarray(this.#payloadStart, this.#payloadEnd);
  }
  /** The payload as UTF-8. */
  text(): string {
    return this.#bytes.toString("utf8", this.#payloadStart, this.#payloadEnd);
  }
  /** The payload as JSON. @throws SyntaxError when it is none */
  json(): unknown {
    return JSON.parse(this.text());
  }
  /** 16 bytes, time-ordered, as hexadecimal. */
  get id(): string {
    return Buffer.from(this.#all.id).toString("hex");
  }
  /** When the sender measured it; undefined when it did not say. */
  get sourceTime(): Date | undefined {
    return toDate(this.#all.sourceTimeUs);
  }
  /** When the platform took it. */
  get ingestTime(): Date | undefined {
    return toDate(this.#all.ingestTimeUs);
  }
  get quality(): QualityWord {
    return qualities.fromWire(this.#all.quality) ?? "good";
  }
  get headers(): readonly { readonly name: string; readonly value: string }[] {
    return this.#all.headers;
  }
  /** W3C trace context of the sender or of the sampling ingress; empty: not traced. */
  get traceparent(): string {
    return this.#all.traceparent;
  }
  /** Kept during an outage and sent later: must not cause commands. */
  get replayed(): boolean {
    return this.#all.replayed;
  }
  /** Every field, by the generated decoder. */
  envelope(): envelope.Envelope {
    return envelope.Envelope.decode(this.#bytes.subarray(this.#bodyStart, this.#bodyEnd));
  }

  get #all(): envelope.Envelope {
    this.#rare ??= this.envelope();
    return this.#rare;
  }
}

function toDate(us: number): Date | undefined {
  return us === 0 ? undefined : new Date(us / 1000);
}
