/** Writes columns of samples as a `sample.Block`, by hand: a hundred thousand of them go through here in a second. */
import { FORM, type SampleColumns } from "./columns.js";

/** Bytes that a varint takes at most. */
const VARINT = 10;
const TAG = {
  points: (1 << 3) | 2,
  forms: (2 << 3) | 2,
  verdicts: (3 << 3) | 2,
  numbers: (4 << 3) | 2,
  texts: (5 << 3) | 2,
  time: (6 << 3) | 1,
  offsets: (7 << 3) | 2,
  latency: 8 << 3,
  raws: (9 << 3) | 2,
} as const;

/** One per device and version of its points. */
export class BlockEncoder {
  /** Each name as it stands in a block: tag, length, text. */
  readonly #names: readonly Buffer[];
  #out = Buffer.allocUnsafe(1_024);
  #at = 0;

  /** @param names of the points, by number */
  constructor(names: readonly string[]) {
    this.#names = names.map((name) => {
      const text = Buffer.from(name);
      const entry = Buffer.allocUnsafe(text.length + 2 * VARINT);
      let at = writeVarint(entry, 0, TAG.points);
      at = writeVarint(entry, at, text.length);
      text.copy(entry, at);
      return Buffer.from(entry.subarray(0, at + text.length));
    });
  }

  /** The samples of these points, at least one. Valid until the next call. */
  encode(samples: SampleColumns, points: Uint32Array, latencyUs: number): Buffer {
    const count = points.length;
    this.#at = 0;
    let names = 0;
    for (let i = 0; i < count; i++) names += (this.#names[points[i] as number] as Buffer).length;
    // Forms, verdicts, numbers and offsets of every point, and the heads of the fields.
    this.#room(names + count * (1 + 1 + 8 + VARINT) + 16 * VARINT);
    const out = this.#out;
    let at = 0;
    for (let i = 0; i < count; i++) {
      const name = this.#names[points[i] as number] as Buffer;
      out.set(name, at);
      at += name.length;
    }
    at = writeVarint(out, writeVarint(out, at, TAG.forms), count);
    let numbers = 0;
    for (let i = 0; i < count; i++) {
      const form = samples.forms[points[i] as number] as number;
      if (form === FORM.number) numbers += 1;
      out[at++] = form;
    }
    at = writeVarint(out, writeVarint(out, at, TAG.verdicts), count);
    for (let i = 0; i < count; i++) out[at++] = samples.verdicts[points[i] as number] as number;
    if (numbers > 0) {
      at = writeVarint(out, writeVarint(out, at, TAG.numbers), numbers * 8);
      for (let i = 0; i < count; i++) {
        const n = points[i] as number;
        if (samples.forms[n] === FORM.number) at = out.writeDoubleLE(samples.values[n] as number, at);
      }
    }
    at = this.#times(samples, points, at);
    if (latencyUs >= 1) at = writeVarint(out, writeVarint(out, at, TAG.latency), Math.floor(latencyUs));
    this.#at = at;
    this.#rare(samples, points);
    return this.#out.subarray(0, this.#at);
  }

  #times({ timeUs }: SampleColumns, points: Uint32Array, from: number): number {
    const out = this.#out;
    const first = timeUs[points[0] as number] as number;
    let at = writeVarint(out, from, TAG.time);
    out.writeUInt32LE(first % 2 ** 32, at);
    out.writeUInt32LE(Math.floor(first / 2 ** 32), at + 4);
    at += 8;
    let isSame = true;
    for (let i = 1; i < points.length && isSame; i++) isSame = timeUs[points[i] as number] === first;
    if (isSame) return at;
    // The length is known afterwards; it takes one byte or more, so the bytes are moved up.
    at = writeVarint(out, at, TAG.offsets);
    const begin = at + VARINT;
    let end = begin;
    for (let i = 0; i < points.length; i++) {
      const offset = (timeUs[points[i] as number] as number) - first;
      end = writeVarint(out, end, offset >= 0 ? 2 * offset : -2 * offset - 1);
    }
    at = writeVarint(out, at, end - begin);
    out.copyWithin(at, begin, end);
    return at + end - begin;
  }

  /** Text, and what was read in place of usable values. */
  #rare(samples: SampleColumns, points: Uint32Array): void {
    for (let i = 0; i < points.length; i++) {
      const n = points[i] as number;
      if (samples.forms[n] === FORM.text) this.#field(TAG.texts, Buffer.from(samples.texts[n] ?? ""));
    }
    if (samples.raws.length === 0) return;
    for (let i = 0; i < points.length; i++) {
      const n = points[i] as number;
      const raw = samples.forms[n] === FORM.none ? samples.raws[n] : undefined;
      if (raw !== undefined) this.#field(TAG.raws, encodeRaw(i, raw));
    }
  }

  #field(tag: number, bytes: Buffer): void {
    this.#room(this.#at + bytes.length + 2 * VARINT);
    this.#at = writeVarint(this.#out, writeVarint(this.#out, this.#at, tag), bytes.length);
    this.#out.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #room(bytes: number): void {
    if (this.#out.length >= bytes) return;
    const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#out.length));
    this.#out.copy(larger, 0, 0, this.#at);
    this.#out = larger;
  }
}

function encodeRaw(place: number, raw: number | string | boolean): Buffer {
  const text = typeof raw === "string" ? Buffer.from(raw) : undefined;
  const out = Buffer.allocUnsafe(4 * VARINT + (text?.length ?? 0));
  let at = place === 0 ? 0 : writeVarint(out, writeVarint(out, 0, 1 << 3), place);
  if (text !== undefined) {
    at = writeVarint(out, writeVarint(out, at, (3 << 3) | 2), text.length);
    at += text.copy(out, at);
  } else if (typeof raw === "number") at = out.writeDoubleLE(raw, writeVarint(out, at, (2 << 3) | 1));
  else at = writeVarint(out, writeVarint(out, at, 4 << 3), raw === true ? 1 : 0);
  return out.subarray(0, at);
}

/** For whole numbers from 0 to 2^53. */
function writeVarint(out: Buffer, from: number, value: number): number {
  let at = from;
  let rest = value;
  while (rest >= 2 ** 31) {
    out[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  while (rest >= 128) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}
