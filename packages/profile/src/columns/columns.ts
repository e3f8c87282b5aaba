/** Samples and raw readings as columns: so many points cost no object each. */
import { SAMPLE_QUALITIES, SAMPLE_REASONS, type SampleQuality, type SampleReason } from "../sample.js";

/** Places in columns of qualities. */
export const QUALITY = { good: 0, uncertain: 1, bad: 2 } as const satisfies Record<SampleQuality, number>;

/** Places in columns of reasons; 0 is none. */
export const REASON = Object.fromEntries(SAMPLE_REASONS.map((reason, i) => [reason, i + 1])) as Readonly<
  Record<SampleReason, number>
>;

/** Word of a place in a column of qualities. */
export function qualityOf(place: number): SampleQuality {
  return SAMPLE_QUALITIES[place] ?? "bad";
}

/** Word of a place in a column of reasons; undefined for 0 and for those of later versions. */
export function reasonOf(place: number): SampleReason | undefined {
  return SAMPLE_REASONS[place - 1];
}

/** What a value is. The places are on the wire. */
export const FORM = { none: 0, number: 1, false: 2, true: 3, text: 4 } as const;

/** What was read of a device, before its profile has a word: by the number of the point. */
export interface RawColumns {
  /** Numbers; of booleans 0 and 1. NaN where there is none. */
  readonly values: Float64Array;
  readonly quality: Uint8Array;
  readonly reason: Uint8Array;
  /** Microseconds since 1970. */
  readonly sourceTimeUs: Float64Array;
  /** Text, and whole numbers beyond those that a double holds exactly; may be shorter than the others. */
  readonly others: readonly (string | bigint | undefined)[];
}

/** Samples by the number of the point. Bad ones have no value. */
export class SampleColumns {
  readonly values: Float64Array;
  readonly forms: Uint8Array;
  /** Quality in the two lowest bits, the reason above them, as on the wire. */
  readonly verdicts: Uint8Array;
  readonly timeUs: Float64Array;
  /** Of those whose form is text. */
  readonly texts: (string | undefined)[] = [];
  /** What was read in place of a usable value. */
  readonly raws: (number | string | boolean | undefined)[] = [];

  /** @param size points of the device */
  constructor(readonly size: number) {
    this.values = new Float64Array(size);
    this.forms = new Uint8Array(size);
    this.verdicts = new Uint8Array(size).fill(verdictOf(QUALITY.bad, REASON.not_read));
    this.timeUs = new Float64Array(size);
  }
}

/** Quality and reason as one byte. */
export function verdictOf(quality: number, reason: number): number {
  return quality | (reason << 2);
}
