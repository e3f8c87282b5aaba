/** A received batch, read by a cursor: the fast style, which makes no object per message. */
import { BATCH_FLAGS, BatchView, type Head, Lane } from "@myelin/contract";
import type { Heads, KnownHead } from "./heads.js";
import { Message } from "./message.js";
import { type KindWord, kinds, type LaneWord, type ProtocolWord, protocols } from "./words.js";

/**
 * Iterating gives **one and the same** cursor object again and again, moved on by one message: read what you need inside the
 * loop, and call `toMessage()` for what you keep. The bytes stay valid as long as the batch or anything made of it is held.
 */
export class MessageBatch implements Iterable<BatchCursor> {
  readonly lane: LaneWord;
  readonly partition: number;
  /** Messages in the batch. */
  readonly count: number;
  /** Perhaps seen before, all or in part. */
  readonly redelivered: boolean;
  /** The cursor; before the first message until `next` is called. */
  readonly cursor: BatchCursor;
  readonly #view: BatchView;

  /** @throws AppError `contract.bad_envelope` */
  constructor(data: Uint8Array, heads: Heads) {
    const view = new BatchView().reset(data);
    this.#view = view;
    this.lane = view.hop.lane === Lane.TELEMETRY ? "telemetry" : "event";
    this.partition = view.hop.partition;
    this.count = view.hop.count;
    this.redelivered = (view.hop.flags & BATCH_FLAGS.redelivered) !== 0;
    this.cursor = new BatchCursor(view, heads, this.lane, this.redelivered);
  }

  /** Numbers of the link, by which the batch is acknowledged. */
  get hop(): BatchView["hop"] {
    return this.#view.hop;
  }

  /** Moves the cursor; false at the end. @throws AppError `contract.bad_envelope` */
  next(): boolean {
    return this.#view.next();
  }

  /** Back to before the first message. */
  rewind(): void {
    this.#view.rewind();
  }

  [Symbol.iterator](): Iterator<BatchCursor> {
    const view = this.#view;
    view.rewind();
    const more: IteratorResult<BatchCursor> = { done: false, value: this.cursor };
    return { next: () => (view.next() ? more : END) };
  }
}

const END: IteratorResult<never> = { done: true, value: undefined };

/** The message under the cursor. Strings are shared by all messages with the same head. */
export class BatchCursor {
  readonly lane: LaneWord;
  readonly redelivered: boolean;
  readonly #view: BatchView;
  readonly #heads: Heads;
  readonly #scope: Map<number, KnownHead>;
  #head: KnownHead | undefined;
  #headChannel = -1;

  constructor(view: BatchView, heads: Heads, lane: LaneWord, redelivered: boolean) {
    this.#view = view;
    this.#heads = heads;
    this.#scope = heads.scopeOf(view);
    this.lane = lane;
    this.redelivered = redelivered;
  }

  /** Everything routing looks at; the same object for all messages with this head. */
  get head(): Head & { readonly deviceKey: string } {
    const { channel } = this.#view;
    if (channel === this.#headChannel && channel !== 0) return this.#head!;
    this.#head = this.#heads.of(this.#view, this.#scope);
    this.#headChannel = channel;
    return this.#head;
  }
  get tenant(): string {
    return this.head.tenant;
  }
  get deviceId(): string {
    return this.head.deviceId;
  }
  get path(): string {
    return this.head.path;
  }
  get kind(): KindWord {
    return kinds.fromWire(this.head.kind) ?? "telemetry";
  }
  get protocol(): ProtocolWord | undefined {
    return protocols.fromWire(this.head.protocol);
  }
  get contentType(): string {
    return this.head.contentType;
  }
  /** A view into the batch, not a copy. For single bytes or numbers, `bytes` with the two offsets is faster. */
  get payload(): Buffer {
    return this.#view.payload();
  }
  /** The whole batch's bytes; the payload lies in `[payloadStart, payloadEnd)`. */
  get bytes(): Buffer {
    return this.#view.bytes;
  }
  get payloadStart(): number {
    return this.#view.payloadStart;
  }
  get payloadEnd(): number {
    return this.#view.payloadEnd;
  }
  text(): string {
    return this.#view.bytes.toString("utf8", this.#view.payloadStart, this.#view.payloadEnd);
  }
  /** @throws SyntaxError when the payload is no JSON */
  json(): unknown {
    return JSON.parse(this.text());
  }
  /** Microseconds since the Unix epoch; 0: the sender gave none. */
  get sourceTimeUs(): number {
    return this.#view.sourceTimeUs;
  }
  get ingestTimeUs(): number {
    return this.#view.ingestTimeUs;
  }

  /** A message that may be kept. */
  toMessage(): Message {
    const v = this.#view;
    return new Message(
      this.head,
      v.bytes,
      v.bodyStart,
      v.recordEnd,
      v.payloadStart,
      v.payloadEnd,
      this.lane,
      this.redelivered,
    );
  }
}
