/** Readings as they lie in stores, given back as they were. Loads nothing, so that threads can have it alone. */
import type { Reading } from "./data-store.js";
import { ESCAPED, KIND_CODES, READING_KINDS, READING_QUALITIES } from "./reading-block.js";

/** What a store has kept of a reading, with the codes of `KIND_CODES` and the places of `READING_QUALITIES`. */
export interface StoredReading {
  readonly timeUs: number;
  readonly kind: number;
  readonly quality: number;
  /** A number for truth values; NaN may be null. */
  readonly value: number | string | Uint8Array | null;
  readonly reason: string | null;
}

/** Codes of numbers that not every store has a value for, beside those of `KIND_CODES`; sums leave them out. */
const NOT_FINITE: ReadonlyMap<number, number> = new Map([
  [7, Number.NaN],
  [8, Number.POSITIVE_INFINITY],
  [9, Number.NEGATIVE_INFINITY],
]);

/** The code of a value for stores that know finite numbers only. */
export function codeOf(kind: number, number: number): number {
  if (!isNumeric(kind) || Number.isFinite(number)) return kind;
  for (const [code, is] of NOT_FINITE) if (Object.is(is, number)) return code;
  return kind;
}

const KINDS = READING_KINDS.reduce<(typeof READING_KINDS)[number][]>((kinds, kind) => {
  kinds[KIND_CODES[kind]] = kind;
  return kinds;
}, []);

/** Whether a value of that code stands as a number. */
export function isNumeric(kind: number): boolean {
  return kind <= KIND_CODES.boolean;
}

/** What is not known here, as from a newer version, is text and bad. */
export function readingOf(
  { path, point }: { readonly path: string; readonly point: string },
  { timeUs, kind, quality, value, reason }: StoredReading,
): Reading {
  const special = NOT_FINITE.get(kind);
  const known = special === undefined ? (KINDS[kind] ?? "text") : "number";
  return {
    path,
    point,
    timeUs,
    kind: known,
    value: special ?? (kind === ESCAPED ? (JSON.parse(String(value)) as string) : typedValue(known, value)),
    quality: READING_QUALITIES[quality] ?? "bad",
    ...(reason !== null && { reason }),
  };
}

function typedValue(kind: (typeof READING_KINDS)[number], value: StoredReading["value"]): Reading["value"] {
  switch (kind) {
    case "none":
      return null;
    case "number":
      return value ?? Number.NaN;
    case "boolean":
      return value !== 0;
    default:
      return value ?? "";
  }
}
