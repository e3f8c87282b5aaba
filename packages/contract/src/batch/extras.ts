/** Envelope fields that few messages carry, written behind the payload. */

import type { Header, Quality, VersionEntry } from "../generated/myelin/envelope/v1/envelope.js";
import { Envelope } from "../generated/myelin/envelope/v1/envelope.js";
import { BATCH_FLAGS } from "./layout.js";

/** All optional; absent means not set. Times in microseconds since the Unix epoch. */
export interface EnvelopeExtras {
  /** 16 bytes; replaces the generated id. Set `senderId` too when it was derived from the sender's. */
  readonly id?: Uint8Array | undefined;
  readonly senderId?: boolean | undefined;
  readonly sourceTimeUs?: number | undefined;
  readonly deviceSequence?: number | undefined;
  readonly quality?: Quality | undefined;
  readonly qualityReason?: string | undefined;
  readonly replayed?: boolean | undefined;
  readonly expiresAtUs?: number | undefined;
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
  readonly schemaVersion?: number | undefined;
  readonly headers?: readonly Header[] | undefined;
  readonly versionVector?: readonly VersionEntry[] | undefined;
  readonly retain?: boolean | undefined;
  readonly qos?: number | undefined;
  readonly responsePath?: string | undefined;
  readonly correlation?: Uint8Array | undefined;
}

/** Encoded bytes of the extras without the id, by the generated encoder: this is not the hot path. */
function encodeExtras(extras: EnvelopeExtras): Uint8Array {
  const { id: _id, ...rest } = extras;
  return Envelope.encode(
    Envelope.fromPartial({
      ...rest,
      headers: rest.headers?.map((h) => ({ ...h })),
      versionVector: rest.versionVector?.map((v) => ({ ...v })),
    } as Parameters<typeof Envelope.fromPartial>[0]),
  ).finish();
}

const encoded = new WeakMap<EnvelopeExtras, Uint8Array>();

function bytesOf(extras: EnvelopeExtras): Uint8Array {
  let bytes = encoded.get(extras);
  if (bytes === undefined) {
    bytes = encodeExtras(extras);
    encoded.set(extras, bytes);
  }
  return bytes;
}

/** Bytes the extras take in the envelope. Extras objects are treated as immutable: their encoding is remembered. */
export function extrasSize(extras: EnvelopeExtras): number {
  return bytesOf(extras).length;
}

/** Writes the extras at `offset`. */
export function writeExtras(target: Uint8Array, offset: number, extras: EnvelopeExtras): void {
  target.set(bytesOf(extras), offset);
}

/** The batch flags these extras need. */
export function extrasFlags(extras: EnvelopeExtras): number {
  return (
    (extras.senderId ? BATCH_FLAGS.senderIds : 0) |
    (extras.expiresAtUs ? BATCH_FLAGS.expiry : 0) |
    (extras.headers && extras.headers.length > 0 ? BATCH_FLAGS.headers : 0) |
    (extras.traceparent ? BATCH_FLAGS.traced : 0)
  );
}
