/** Readings on their way into a store: in columns, so that none of them is an object and a thread can be handed all of them. */

/** Forms of a value. */
export const READING_KINDS = ["number", "boolean", "text", "json", "bytes", "none"] as const;
/** Form of a value; `none`: what was measured could not be used, as the quality and its reason say. */
export type ReadingKind = (typeof READING_KINDS)[number];

/** How far a value can be trusted. */
export const READING_QUALITIES = ["good", "uncertain", "bad"] as const;
/** How far a value can be trusted. */
export type ReadingQuality = (typeof READING_QUALITIES)[number];

/** A value with its form. */
export type ReadingValue =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "text" | "json"; readonly value: string }
  | { readonly kind: "bytes"; readonly value: Uint8Array }
  | { readonly kind: "none"; readonly value: null };

/** What stores write as the kind of a value; `ESCAPED` is text that not every store can hold, as a JSON string. */
export const KIND_CODES = {
  number: 0,
  boolean: 1,
  text: 2,
  json: 3,
  bytes: 4,
  none: 6,
} as const satisfies Record<ReadingKind, number>;
/** Text with NUL or half a surrogate pair in it. */
export const ESCAPED = 5;

const QUALITY_CODES = { good: 0, uncertain: 1, bad: 2 } as const satisfies Record<ReadingQuality, number>;

const FIRST_ROWS = 256;
const MAX_REASON = 256;

/** The columns as a store gets them. Rows beyond `count` are unused. */
export interface ReadingColumns {
  readonly count: number;
  /** Tenant, device, path and point of each series, one after the other. */
  readonly series: readonly string[];
  readonly seriesOf: Uint32Array<ArrayBuffer>;
  readonly timeUs: Float64Array<ArrayBuffer>;
  readonly ref: Float64Array<ArrayBuffer>;
  readonly kind: Uint8Array<ArrayBuffer>;
  readonly quality: Uint8Array<ArrayBuffer>;
  /** The number; for text and bytes where it lies in `others`. */
  readonly value: Float64Array<ArrayBuffer>;
  readonly others: readonly (string | Uint8Array | null)[];
  /** Why a value is not good, by row; most rows have none. */
  readonly reasons: ReadonlyMap<number, string>;
}

/** Collects readings. Grows as needed: who fills it bounds it. */
export class ReadingBlock {
  /** Readings so far. */
  count = 0;
  private readonly series: string[] = [];
  private readonly numbers = new Map<string, number>();
  private seriesOf = new Uint32Array(FIRST_ROWS);
  private timeUs = new Float64Array(FIRST_ROWS);
  private ref = new Float64Array(FIRST_ROWS);
  private kind = new Uint8Array(FIRST_ROWS);
  private quality = new Uint8Array(FIRST_ROWS);
  private value = new Float64Array(FIRST_ROWS);
  private readonly others: (string | Uint8Array | null)[] = [];
  private readonly reasons = new Map<number, string>();

  /** The number of a series in this block, for `add`. */
  seriesNumber(tenant: string, device: string, path: string, point: string): number {
    const key = `${tenant}\0${device}\0${path}\0${point}`;
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.numbers.size;
      this.numbers.set(key, number);
      this.series.push(tenant, device, path, point);
    }
    return number;
  }

  /** @param ref see `toReference`; 0: none */
  addNumber(series: number, timeUs: number, value: number, quality: ReadingQuality, ref: number): void {
    // Not every store knows a negative zero.
    this.addRow(series, timeUs, KIND_CODES.number, value + 0, quality, ref);
  }

  /**
   * As `addNumber`. Bytes are kept, not copied.
   * @param reason why the quality is what it is, cut at 256 characters; empty: nothing is known
   */
  add(
    series: number,
    timeUs: number,
    what: ReadingValue,
    quality: ReadingQuality,
    ref: number,
    reason = "",
  ): void {
    if (reason !== "") this.reasons.set(this.count, storable(reason.slice(0, MAX_REASON)));
    switch (what.kind) {
      case "number":
        this.addNumber(series, timeUs, what.value, quality, ref);
        return;
      case "boolean":
        this.addRow(series, timeUs, KIND_CODES.boolean, what.value ? 1 : 0, quality, ref);
        return;
      case "text":
        if (!what.value.isWellFormed() || what.value.includes("\0")) {
          this.addRow(
            series,
            timeUs,
            ESCAPED,
            this.others.push(JSON.stringify(what.value)) - 1,
            quality,
            ref,
          );
          return;
        }
        break;
      default:
    }
    this.addRow(series, timeUs, KIND_CODES[what.kind], this.others.push(what.value) - 1, quality, ref);
  }

  /** The columns; the block must not be added to afterwards. */
  columns(): ReadingColumns {
    const { count, series, seriesOf, timeUs, ref, kind, quality, value, others, reasons } = this;
    return { count, series, seriesOf, timeUs, ref, kind, quality, value, others, reasons };
  }

  private addRow(
    series: number,
    timeUs: number,
    kind: number,
    value: number,
    quality: ReadingQuality,
    ref: number,
  ): void {
    const at = this.count++;
    if (at === this.kind.length) this.grow();
    this.seriesOf[at] = series;
    this.timeUs[at] = timeUs;
    this.ref[at] = ref;
    this.kind[at] = kind;
    this.quality[at] = QUALITY_CODES[quality];
    this.value[at] = value;
  }

  private grow(): void {
    const rows = this.kind.length * 2;
    this.seriesOf = copied(new Uint32Array(rows), this.seriesOf);
    this.timeUs = copied(new Float64Array(rows), this.timeUs);
    this.ref = copied(new Float64Array(rows), this.ref);
    this.kind = copied(new Uint8Array(rows), this.kind);
    this.quality = copied(new Uint8Array(rows), this.quality);
    this.value = copied(new Float64Array(rows), this.value);
  }
}

/** Not every store holds NUL or half a surrogate pair; its picture stands for the one, U+FFFD for the other. */
export function storable(text: string): string {
  return text.replaceAll("\0", "\u2400").toWellFormed();
}

function copied<A extends Uint8Array | Uint32Array | Float64Array>(to: A, from: A): A {
  to.set(from);
  return to;
}

/**
 * What tells two readings of one series at one time apart: 53 bits of a message's id, its producer's and its counter's.
 * Never 0, which stands for none.
 * @param id the 16 bytes of an envelope's id
 */
export function toReference(id: Buffer): number {
  if (id.length < 16) return 0;
  return (id.readUInt32BE(8) & 0x1f_ffff) * 0x1_0000_0000 + id.readUInt32BE(12) || 1;
}
