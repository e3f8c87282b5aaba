/** Registers and coils as values: types, byte orders, and the loops that fill columns. */
import { QUALITY, REASON } from "@myelin/profile";
import type { ReadingBuffer } from "../../core/readings.js";

/** How values lie in registers. `bit` is one of a coil table or of a register, `field` several of a register. */
export type ModbusType =
  | "coil"
  | "bit"
  | "field"
  | "int16"
  | "uint16"
  | "int32"
  | "uint32"
  | "float32"
  | "int64"
  | "uint64"
  | "float64"
  | "string";

/**
 * The order of the bytes of a 32-bit value on the wire, `a` being the highest: `abcd` is what the standard says, `cdab`
 * has the words swapped, `badc` the bytes in each word, `dcba` both. Of 64-bit values and text the same holds.
 */
export const BYTE_ORDERS = ["abcd", "cdab", "badc", "dcba"] as const;

/** One of them. */
export type ByteOrder = (typeof BYTE_ORDERS)[number];

/** Registers that a value of this type takes; text says it itself. */
export const REGISTERS_OF = {
  bit: 1,
  field: 1,
  int16: 1,
  uint16: 1,
  int32: 2,
  uint32: 2,
  float32: 2,
  int64: 4,
  uint64: 4,
  float64: 4,
} as const satisfies Partial<Record<ModbusType, number>>;

/** Values of one type, one behind the other in a reply. */
export interface ValueRun {
  readonly type: ModbusType;
  readonly order: ByteOrder;
  /** Place of the first one in the data of the reply: bits for coils, bytes for everything else. */
  readonly offset: number;
  readonly count: number;
  /** Place of its point among those of the read. */
  readonly first: number;
  /** Of `bit` and `field`: the lowest bit, and what is left when the value is shifted down to it. */
  readonly low: number;
  readonly mask: number;
  /** Of `string`. */
  readonly bytes: number;
}

const scratch = new DataView(new ArrayBuffer(8));
const TEXT = new TextDecoder("utf-8", { fatal: true });
const TWO_32 = 2 ** 32;

/** Where byte `k` of a value lies, 0 being the highest, among its `registers`. */
export function byteAt(k: number, registers: number, order: ByteOrder): number {
  const wordsSwapped = order === "cdab" || order === "dcba";
  const bytesSwapped = order === "badc" || order === "dcba";
  const register = wordsSwapped ? registers - 1 - (k >> 1) : k >> 1;
  return 2 * register + (bytesSwapped ? (k & 1) ^ 1 : k & 1);
}

/**
 * Writes the values of `runs` into the columns, at the places that `points` name. The data of the reply begin at `start`
 * and were found to be as long as was asked for.
 */
export function decodeRuns(
  runs: readonly ValueRun[],
  points: Uint32Array,
  bytes: Uint8Array,
  start: number,
  out: ReadingBuffer,
  timeUs: number,
): void {
  markGood(points, out, timeUs);
  for (const run of runs) decodeRun(run, points, bytes, start, out);
}

function markGood(points: Uint32Array, out: ReadingBuffer, timeUs: number): void {
  const { quality, reason, sourceTimeUs, others } = out;
  const low = points[0] as number;
  const size = points.length;
  if ((points[size - 1] as number) - low === size - 1 && isAscending(points)) {
    quality.fill(QUALITY.good, low, low + size);
    reason.fill(0, low, low + size);
    sourceTimeUs.fill(timeUs, low, low + size);
  } else {
    for (let i = 0; i < size; i++) {
      const point = points[i] as number;
      quality[point] = QUALITY.good;
      reason[point] = 0;
      sourceTimeUs[point] = timeUs;
    }
  }
  if (others.length > 0) for (let i = 0; i < size; i++) others[points[i] as number] = undefined;
}

function isAscending(points: Uint32Array): boolean {
  for (let i = 1; i < points.length; i++) if (points[i] !== (points[i - 1] as number) + 1) return false;
  return true;
}

function decodeRun(
  run: ValueRun,
  points: Uint32Array,
  bytes: Uint8Array,
  start: number,
  out: ReadingBuffer,
): void {
  const { type, count, first } = run;
  const { values } = out;
  let at = start + run.offset;
  switch (type) {
    case "coil":
      for (let i = 0; i < count; i++) {
        const bit = run.offset + i;
        values[points[first + i] as number] = ((bytes[start + (bit >> 3)] as number) >> (bit & 7)) & 1;
      }
      return;
    case "bit":
    case "field":
    case "uint16":
    case "int16": {
      const high = byteAt(0, 1, run.order);
      const { low, mask } = run;
      const shift = type === "int16" ? 16 : 0;
      for (let i = 0; i < count; i++, at += 2) {
        const word = ((bytes[at + high] as number) << 8) | (bytes[at + 1 - high] as number);
        values[points[first + i] as number] = (((word << shift) >> shift) >> low) & mask;
      }
      return;
    }
    case "uint32":
    case "int32":
    case "float32":
      decode32(run, points, bytes, at, out);
      return;
    case "uint64":
    case "int64":
    case "float64":
      decode64(run, points, bytes, at, out);
      return;
    case "string":
      decodeText(run, points[first] as number, bytes, at, out);
  }
}

function decode32(
  run: ValueRun,
  points: Uint32Array,
  bytes: Uint8Array,
  start: number,
  out: ReadingBuffer,
): void {
  const { type, order, count, first } = run;
  const { values } = out;
  const a = byteAt(0, 2, order);
  const b = byteAt(1, 2, order);
  const c = byteAt(2, 2, order);
  const d = byteAt(3, 2, order);
  let at = start;
  for (let i = 0; i < count; i++, at += 4) {
    const raw =
      ((bytes[at + a] as number) << 24) |
      ((bytes[at + b] as number) << 16) |
      ((bytes[at + c] as number) << 8) |
      (bytes[at + d] as number);
    const point = points[first + i] as number;
    if (type === "int32") values[point] = raw;
    else if (type === "uint32") values[point] = raw >>> 0;
    else {
      scratch.setInt32(0, raw);
      setFloat(out, point, scratch.getFloat32(0));
    }
  }
}

function decode64(
  run: ValueRun,
  points: Uint32Array,
  bytes: Uint8Array,
  start: number,
  out: ReadingBuffer,
): void {
  const { type, order, count, first } = run;
  let at = start;
  for (let i = 0; i < count; i++, at += 8) {
    for (let k = 0; k < 8; k++) scratch.setUint8(k, bytes[at + byteAt(k, 4, order)] as number);
    const point = points[first + i] as number;
    if (type === "float64") {
      setFloat(out, point, scratch.getFloat64(0));
      continue;
    }
    const high = type === "int64" ? scratch.getInt32(0) : scratch.getUint32(0);
    const value = high * TWO_32 + scratch.getUint32(4);
    if (Number.isSafeInteger(value)) out.values[point] = value;
    else {
      const exact = type === "int64" ? scratch.getBigInt64(0) : scratch.getBigUint64(0);
      out.setOther(point, exact, out.sourceTimeUs[point] as number);
    }
  }
}

// A unit says NaN or infinity when it has no value: nothing to be taken for one.
function setFloat(out: ReadingBuffer, point: number, value: number): void {
  if (Number.isFinite(value)) {
    out.values[point] = value;
    return;
  }
  out.values[point] = Number.NaN;
  out.quality[point] = QUALITY.bad;
  out.reason[point] = REASON.not_finite;
}

function decodeText(
  run: ValueRun,
  point: number,
  bytes: Uint8Array,
  start: number,
  out: ReadingBuffer,
): void {
  const registers = (run.bytes + 1) >> 1;
  const text = new Uint8Array(2 * registers);
  for (let k = 0; k < text.length; k++) text[k] = bytes[start + byteAt(k, registers, run.order)] as number;
  const nul = text.indexOf(0);
  const end = nul < 0 || nul > run.bytes ? run.bytes : nul;
  const timeUs = out.sourceTimeUs[point] as number;
  try {
    out.setOther(point, TEXT.decode(text.subarray(0, end)).trimEnd(), timeUs);
  } catch {
    // Bytes that are no UTF-8 are no text: the unit holds something else there.
    out.setBad(Uint32Array.of(point), "unreadable", timeUs);
  }
}

/** Whole numbers that a type holds, both ends included. */
const RANGES: Readonly<Partial<Record<ModbusType, readonly [bigint, bigint]>>> = {
  int16: [-(1n << 15n), (1n << 15n) - 1n],
  uint16: [0n, (1n << 16n) - 1n],
  int32: [-(1n << 31n), (1n << 31n) - 1n],
  uint32: [0n, (1n << 32n) - 1n],
  int64: [-(1n << 63n), (1n << 63n) - 1n],
  uint64: [0n, (1n << 64n) - 1n],
};

/**
 * A value as registers; undefined where the type has no room for exactly this value: nothing is rounded to a whole number
 * or cut to fit. A float32 is the nearest there is.
 */
export function encodeRegisters(
  type: ModbusType,
  order: ByteOrder,
  value: number | bigint | string,
  bytes = 0,
): Uint16Array | undefined {
  const raw = rawBytes(type, value, bytes);
  if (raw === undefined) return undefined;
  const registers = raw.length >> 1;
  const ordered = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) ordered[byteAt(k, registers, order)] = raw[k] as number;
  return Uint16Array.from(
    { length: registers },
    (_, i) => ((ordered[2 * i] as number) << 8) | (ordered[2 * i + 1] as number),
  );
}

function rawBytes(
  type: ModbusType,
  value: number | bigint | string,
  textBytes: number,
): Uint8Array | undefined {
  if (type === "string") {
    const text = typeof value === "string" ? new TextEncoder().encode(value) : undefined;
    if (text === undefined || text.length > textBytes || text.includes(0)) return undefined;
    const padded = new Uint8Array(2 * ((textBytes + 1) >> 1));
    padded.set(text);
    return padded;
  }
  if (typeof value === "string") return undefined;
  if (type === "float32" || type === "float64") {
    const number = Number(value);
    const view = new DataView(new ArrayBuffer(type === "float32" ? 4 : 8));
    if (type === "float32") view.setFloat32(0, number);
    else view.setFloat64(0, number);
    const fits = Number.isFinite(type === "float32" ? view.getFloat32(0) : number);
    return fits ? new Uint8Array(view.buffer) : undefined;
  }
  const range = RANGES[type];
  if (range === undefined || (typeof value === "number" && !Number.isSafeInteger(value))) return undefined;
  const whole = BigInt(value);
  if (whole < range[0] || whole > range[1]) return undefined;
  const size = 2 * REGISTERS_OF[type as keyof typeof REGISTERS_OF];
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt.asUintN(64, whole));
  return new Uint8Array(view.buffer, 8 - size);
}
