/** JSON. Bytes become base64 text, because JSON has no form for them; integers of any size keep their digits when written. */
import type { PayloadCodec } from "./codec.js";
import { badPayload, checkBytes, checkValueDepth, maxDepth } from "./limits.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

// Kept out of the type library so far, and in the engine since Node 21.
const { rawJSON } = JSON as typeof JSON & { rawJSON(text: string): unknown };

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const jsonCodec: PayloadCodec = {
  name: "json",
  contentType: "application/json",

  decode(payload, limits) {
    checkBytes(payload.length, limits);
    checkDepth(payload, maxDepth(limits));
    try {
      return JSON.parse(decoder.decode(payload));
    } catch (cause) {
      throw badPayload(`${payload.length} bytes are not JSON`, cause);
    }
  },

  encode(value, limits) {
    checkValueDepth(value, limits);
    let text: string | undefined;
    try {
      text = JSON.stringify(value, replace);
    } catch (cause) {
      throw badPayload("a value that JSON cannot carry", cause);
    }
    if (text === undefined) throw badPayload(`JSON has no form for ${typeof value}`);
    const out = Buffer.from(text, "utf8");
    checkBytes(out.length, limits);
    return out;
  },
};

// `this` holds the value before its toJSON, which for bytes makes a list of numbers.
function replace(this: Record<string, unknown>, key: string, value: unknown): unknown {
  if (typeof value === "bigint") return rawJSON(String(value));
  const original = this[key];
  if (original instanceof Uint8Array) {
    return Buffer.from(original.buffer, original.byteOffset, original.byteLength).toString("base64");
  }
  return value;
}

/** Counts brackets outside of strings: cheaper than the objects that a hostile payload would otherwise become. */
function checkDepth(payload: Uint8Array, max: number): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < payload.length; i++) {
    const byte = payload[i];
    if (inString) {
      if (byte === BACKSLASH) i++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > max) throw badPayload(`JSON deeper than ${max}`);
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--;
  }
}
