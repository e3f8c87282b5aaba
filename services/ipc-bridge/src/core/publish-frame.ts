/** Reads a `Publish` in place: sequence, lane, and a cursor over its envelopes. */
import { app, BatchView, Lane } from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** A publish with more envelopes is refused; SDKs split theirs. */
export const MAX_PUBLISH_ENVELOPES = 65_536;

const TAG_SEQUENCE = 0x08;
const TAG_LANE = 0x10;
const TAG_ENVELOPE = 0x1a;

/**
 * `Publish.envelopes` has the same tag as `Batch.envelopes`, so the batch cursor walks it. Fields in another order than
 * encoders write them take one detour through the generated code.
 */
export class PublishFrame {
  sequence = 0;
  lane: Lane = Lane.UNSPECIFIED;
  /** Before the first envelope; valid until the next `reset`. */
  readonly view = new BatchView();
  count = 0;

  /** @throws AppError `contract.bad_frame`, `contract.bad_envelope`, `queue.item_too_large` */
  reset(body: Buffer): this {
    if (!this.#canonical(body)) {
      boundEnvelopes(body);
      this.#canonical(normalise(body));
    }
    return this;
  }

  #canonical(body: Buffer): boolean {
    this.sequence = 0;
    this.lane = Lane.UNSPECIFIED;
    let at = 0;
    while (at < body.length && body[at] !== TAG_ENVELOPE) {
      const tag = body[at++]!;
      let value = 0;
      let scale = 1;
      let byte: number;
      do {
        if (at >= body.length || scale > Number.MAX_SAFE_INTEGER / 256) return false;
        byte = body[at++]!;
        value += (byte & 0x7f) * scale;
        scale *= 128;
      } while (byte > 0x7f);
      if (tag === TAG_SEQUENCE) this.sequence = value;
      else if (tag === TAG_LANE) this.lane = value as Lane;
      else return false;
    }
    const { view } = this;
    view.bytes = body;
    view.envelopesStart = at;
    view.rewind();
    this.count = 0;
    while (view.recordEnd < body.length) {
      if (body[view.recordEnd] !== TAG_ENVELOPE) return false;
      view.next();
      this.count++;
      if (this.count > MAX_PUBLISH_ENVELOPES) throw tooMany();
    }
    view.rewind();
    return true;
  }
}

// Decoding makes an object of some hundred bytes out of an envelope of two: count before decoding.
function boundEnvelopes(body: Buffer): void {
  let count = 0;
  for (let i = body.indexOf(TAG_ENVELOPE); i >= 0; i = body.indexOf(TAG_ENVELOPE, i + 1)) {
    if (++count > MAX_PUBLISH_ENVELOPES) throw tooMany();
  }
}

function tooMany(): AppError {
  return new AppError(
    "queue.item_too_large",
    `a publish may have ${MAX_PUBLISH_ENVELOPES} envelopes; split it`,
  );
}

function normalise(body: Buffer): Buffer {
  try {
    return Buffer.from(app.Publish.encode(app.Publish.decode(body)).finish());
  } catch (cause) {
    throw new AppError("contract.bad_frame", "a publish frame cannot be decoded", { cause });
  }
}
