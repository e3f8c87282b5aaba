/** The forms in which applications give payloads. */
import { check } from "./check.js";

/** Bytes are sent as they are (and not copied before), a string as UTF-8, anything else as JSON. */
export type PayloadInput = Uint8Array | string | object;

/** The bytes of a payload, and the content type that its form suggests. */
export interface EncodedPayload {
  readonly payload: Buffer;
  readonly contentType: string;
  readonly json: boolean;
}

/**
 * Encodes a payload in any of its forms; numbers, booleans and null are JSON too.
 * @throws AppError `internal.invalid_argument` for what JSON cannot express
 */
export function toPayload(payload: unknown): EncodedPayload {
  if (typeof payload === "string") {
    return { payload: Buffer.from(payload), contentType: "text/plain", json: false };
  }
  if (payload instanceof Uint8Array) {
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    return { payload: bytes, contentType: "", json: false };
  }
  const text = toJson(payload);
  check(text !== undefined, `a payload must be bytes, a string or JSON data, not ${typeof payload}`);
  return { payload: Buffer.from(text), contentType: "application/json", json: true };
}

function toJson(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    // Cycles and big integers: said by the caller's sentence.
    return undefined;
  }
}
