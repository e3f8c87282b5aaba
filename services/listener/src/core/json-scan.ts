/** Checks and cuts JSON (RFC 8259) where it lies: no object, no string, nothing kept. */

const MAX_DEPTH = 256;
/** 1 for each open object, 0 for each open array. */
const OPEN = new Uint8Array(MAX_DEPTH);

/** First offset at or behind `at` that is no JSON white space. */
export function skipSpace(b: Uint8Array, at: number, end: number): number {
  let i = at;
  while (i < end) {
    const c = b[i]!;
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) break;
    i += 1;
  }
  return i;
}

/**
 * Offset behind the JSON value that starts at `start`, or -1 where there is none: malformed, cut, or nested deeper than 256.
 * Bytes above 0x7f are taken as they are: whoever reads text checks UTF-8 for all of it at once.
 */
export function jsonEnd(b: Uint8Array, start: number, end: number): number {
  let at = start;
  let depth = 0;
  for (;;) {
    at = skipSpace(b, at, end);
    if (at >= end) return -1;
    const c = b[at]!;
    if (c === 0x22) at = stringEnd(b, at, end);
    else if (c === 0x7b || c === 0x5b) {
      if (depth === MAX_DEPTH) return -1;
      const inner = skipSpace(b, at + 1, end);
      if (inner < end && b[inner] === c + 2) at = inner + 1;
      else {
        OPEN[depth++] = c === 0x7b ? 1 : 0;
        at = c === 0x7b ? keyEnd(b, inner, end) : inner;
        if (at < 0) return -1;
        continue;
      }
    } else at = c === 0x2d || (c >= 0x30 && c <= 0x39) ? numberEnd(b, at, end) : wordEnd(b, at, end);
    if (at < 0) return -1;
    for (;;) {
      if (depth === 0) return at;
      at = skipSpace(b, at, end);
      if (at >= end) return -1;
      const isObject = OPEN[depth - 1] === 1;
      if (b[at] === 0x2c) {
        at = isObject ? keyEnd(b, skipSpace(b, at + 1, end), end) : at + 1;
        if (at < 0) return -1;
        break;
      }
      if (b[at] !== (isObject ? 0x7d : 0x5d)) return -1;
      depth -= 1;
      at += 1;
    }
  }
}

/** True when `[start, end)` is one JSON value with nothing but white space around it. */
export function isJson(b: Uint8Array, start: number, end: number): boolean {
  const value = jsonEnd(b, start, end);
  return value >= 0 && skipSpace(b, value, end) === end;
}

/** Offset behind the string and the colon of an object's key, or -1. */
function keyEnd(b: Uint8Array, at: number, end: number): number {
  if (at >= end || b[at] !== 0x22) return -1;
  const key = stringEnd(b, at, end);
  if (key < 0) return -1;
  const colon = skipSpace(b, key, end);
  return colon < end && b[colon] === 0x3a ? colon + 1 : -1;
}

function stringEnd(b: Uint8Array, start: number, end: number): number {
  for (let at = start + 1; at < end; at++) {
    const c = b[at]!;
    if (c === 0x22) return at + 1;
    if (c < 0x20) return -1;
    if (c !== 0x5c) continue;
    at += 1;
    if (at >= end) return -1;
    const escaped = b[at]!;
    if (escaped === 0x75) {
      if (at + 4 >= end) return -1;
      for (let i = 1; i <= 4; i++) if (!isHex(b[at + i]!)) return -1;
      at += 4;
    } else if (!isEscape(escaped)) return -1;
  }
  return -1;
}

/** One of " \\ / b f n r t. */
function isEscape(c: number): boolean {
  return (
    c === 0x22 ||
    c === 0x5c ||
    c === 0x2f ||
    c === 0x62 ||
    c === 0x66 ||
    c === 0x6e ||
    c === 0x72 ||
    c === 0x74
  );
}

function isHex(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x46) || (c >= 0x61 && c <= 0x66);
}

function digitsEnd(b: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && b[at]! >= 0x30 && b[at]! <= 0x39) at += 1;
  return at === start ? -1 : at;
}

function numberEnd(b: Uint8Array, start: number, end: number): number {
  let at = b[start] === 0x2d ? start + 1 : start;
  const whole = at;
  at = digitsEnd(b, at, end);
  // A leading zero stands alone.
  if (at < 0 || (b[whole] === 0x30 && at > whole + 1)) return -1;
  if (at < end && b[at] === 0x2e) {
    at = digitsEnd(b, at + 1, end);
    if (at < 0) return -1;
  }
  if (at < end && (b[at] === 0x65 || b[at] === 0x45)) {
    at += 1;
    if (at < end && (b[at] === 0x2b || b[at] === 0x2d)) at += 1;
    at = digitsEnd(b, at, end);
  }
  return at;
}

const WORDS = [Buffer.from("true"), Buffer.from("false"), Buffer.from("null")];

function wordEnd(b: Uint8Array, start: number, end: number): number {
  for (const word of WORDS) {
    if (b[start] !== word[0] || start + word.length > end) continue;
    for (let i = 1; i < word.length; i++) if (b[start + i] !== word[i]) return -1;
    return start + word.length;
  }
  return -1;
}

/**
 * Calls `element` with the range of each element of the array that is all of `[start, end)`; false when it is none.
 * What came before a malformed place has been told by then: check with `isJson` first where that matters.
 */
export function forEachElement(
  b: Uint8Array,
  start: number,
  end: number,
  element: (from: number, to: number) => void,
): boolean {
  let at = skipSpace(b, start, end);
  if (b[at] !== 0x5b) return false;
  at = skipSpace(b, at + 1, end);
  if (at < end && b[at] === 0x5d) return skipSpace(b, at + 1, end) === end;
  for (;;) {
    const from = skipSpace(b, at, end);
    const to = jsonEnd(b, from, end);
    if (to < 0) return false;
    element(from, to);
    at = skipSpace(b, to, end);
    if (at >= end) return false;
    if (b[at] === 0x5d) return skipSpace(b, at + 1, end) === end;
    if (b[at] !== 0x2c) return false;
    at += 1;
  }
}

/** Called per field of an object, the key without its quotes and as it is written, escapes included. */
export type FieldVisitor = (keyFrom: number, keyTo: number, from: number, to: number) => void;

/** As `forEachElement`, for the fields of an object. */
export function forEachField(b: Uint8Array, start: number, end: number, field: FieldVisitor): boolean {
  let at = skipSpace(b, start, end);
  if (b[at] !== 0x7b) return false;
  at = skipSpace(b, at + 1, end);
  if (at < end && b[at] === 0x7d) return skipSpace(b, at + 1, end) === end;
  for (;;) {
    const key = skipSpace(b, at, end);
    const value = keyEnd(b, key, end);
    if (value < 0) return false;
    const keyTo = stringEnd(b, key, end) - 1;
    const from = skipSpace(b, value, end);
    const to = jsonEnd(b, from, end);
    if (to < 0) return false;
    field(key + 1, keyTo, from, to);
    at = skipSpace(b, to, end);
    if (at >= end) return false;
    if (b[at] === 0x7d) return skipSpace(b, at + 1, end) === end;
    if (b[at] !== 0x2c) return false;
    at += 1;
  }
}
