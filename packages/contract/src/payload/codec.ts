/** What a payload codec is. Payloads travel untouched; only transforms and applications decode them. */

/** Names of the codecs, as routes write them. */
export type PayloadCodecName = "json" | "msgpack" | "raw";

/** Bounds of what a codec reads and writes. `maxDepth` counts arrays and objects within each other. */
export interface PayloadLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/** Turns payload bytes into plain values and back: null, booleans, numbers, bigints, strings, bytes, dates, arrays, objects. */
export interface PayloadCodec {
  readonly name: PayloadCodecName;
  /** Content type of what `encode` makes. */
  readonly contentType: string;
  /**
   * Decodes a payload; keeps nothing of it, but for `raw`, whose value is the payload itself.
   * @throws AppError `contract.bad_payload` for bytes that are not of this codec, too long, or too deep
   */
  decode(payload: Uint8Array, limits?: Partial<PayloadLimits>): unknown;
  /** @throws AppError `contract.bad_payload` for a value that this codec cannot carry, or not within the limits */
  encode(value: unknown, limits?: Partial<PayloadLimits>): Buffer;
}
