/** Finds raw values in payloads: fields of decoded ones, numbers in bytes. */
import type { PointSpec } from "@myelin/config";

/** Nothing is there. */
export const MISSING = Symbol("missing");

/** Takes one value out of a payload, decoded or as bytes; `MISSING` where it has none. */
export type Reader = (payload: unknown) => unknown;

/** `a.0.b`: names of fields and places in lists; only what a payload itself holds is found. */
export function fieldReader(path: string): Reader {
  const steps = path.split(".");
  return (payload) => {
    let at: unknown = payload;
    for (const step of steps) {
      if (typeof at !== "object" || at === null || ArrayBuffer.isView(at)) return MISSING;
      if (Array.isArray(at) && !/^(0|[1-9]\d*)$/.test(step)) return MISSING;
      if (!Object.hasOwn(at, step)) return MISSING;
      at = (at as Record<string, unknown>)[step];
    }
    return at;
  };
}

type BytesPlace = NonNullable<NonNullable<PointSpec["from"]>["bytes"]>;

type GetNumber = (view: DataView, offset: number, isLittle: boolean) => number | bigint;

const NUMBERS: Readonly<Record<BytesPlace["as"], readonly [width: number, get: GetNumber]>> = {
  int8: [1, (view, at) => view.getInt8(at)],
  uint8: [1, (view, at) => view.getUint8(at)],
  int16: [2, (view, at, isLittle) => view.getInt16(at, isLittle)],
  uint16: [2, (view, at, isLittle) => view.getUint16(at, isLittle)],
  int32: [4, (view, at, isLittle) => view.getInt32(at, isLittle)],
  uint32: [4, (view, at, isLittle) => view.getUint32(at, isLittle)],
  int64: [8, (view, at, isLittle) => view.getBigInt64(at, isLittle)],
  uint64: [8, (view, at, isLittle) => view.getBigUint64(at, isLittle)],
  float32: [4, (view, at, isLittle) => view.getFloat32(at, isLittle)],
  float64: [8, (view, at, isLittle) => view.getFloat64(at, isLittle)],
};

/** A number at its place; for boolean points one bit of it, or whether it is other than 0; for waveforms as many as they have. */
export function bytesReader(
  { offset, as, byteOrder, bit }: BytesPlace,
  { type, waveform }: Pick<PointSpec, "type" | "waveform">,
): Reader {
  const [width, get] = NUMBERS[as];
  const isLittle = byteOrder === "little";
  if (waveform !== undefined) {
    const { length } = waveform;
    return (payload) => {
      const bytes = payload as Uint8Array;
      if (offset + width * length > bytes.length) return MISSING;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Array.from({ length }, (_, i) => get(view, offset + i * width, isLittle));
    };
  }
  return (payload) => {
    const bytes = payload as Uint8Array;
    if (offset + width > bytes.length) return MISSING;
    const raw = get(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset, isLittle);
    if (type !== "boolean") return raw;
    // biome-ignore lint/suspicious/noDoubleEquals: numbers and bigints alike
    return bit === undefined ? raw != 0 : ((BigInt(raw) >> BigInt(bit)) & 1n) === 1n;
  };
}
