/** What a payload becomes: one value of one point, with how far it can be trusted. */

/** From best to worst. Their places are on the wire: never changed. */
export const SAMPLE_QUALITIES = ["good", "uncertain", "bad"] as const;

/** `bad` samples have no value that anybody could use by mistake. */
export type SampleQuality = (typeof SAMPLE_QUALITIES)[number];

/** Why a sample is not good. Their places are on the wire: new ones come at the end. */
export const SAMPLE_REASONS = [
  // Bad.
  "unreadable", // The payload is not of its format, or not of the length it must have.
  "missing", // The payload does not have the point.
  "no_value", // It is null.
  "wrong_type",
  "not_finite",
  "inexact", // A whole number beyond those that stay exact.
  "fault", // The device says so, by a number it uses for that.
  "unknown_word",
  "below_range",
  "above_range",
  "source_bad", // The message said so itself.
  // Uncertain.
  "below_expected",
  "above_expected",
  "time_unreadable",
  "time_implausible",
  "source_uncertain",
  // Bad, of hardware.
  "not_read", // Nobody has asked the unit yet, or the line has no time for it.
  "unreachable", // The line is down.
  "no_reply", // The unit kept silent for its time.
  "bad_reply", // What came was no answer to what was asked: broken, late, or of another unit.
  "unknown_function", // The unit does not know such requests.
  "unknown_address", // The unit has nothing at that place.
  "refused_value",
  "unit_fault",
  "unit_busy",
  "refused", // Any other refusal.
  "wrong_length", // A list with more or fewer elements than its point has.
] as const;

/** One of them. */
export type SampleReason = (typeof SAMPLE_REASONS)[number];

/** What a sample may hold; a list is a waveform. */
export type SampleValue = number | boolean | string | readonly number[];

/** What is told of a value that cannot be used. */
export type RawValue = Exclude<SampleValue, readonly number[]>;

/** One measurement. Plain data: codecs write it as it is. */
export interface Sample {
  readonly point: string;
  /** Null when the quality is bad. */
  readonly value: SampleValue | null;
  /** As the profile says; absent when it says nothing. */
  readonly unit?: string;
  readonly quality: SampleQuality;
  /** Absent when the quality is good. */
  readonly reason?: SampleReason;
  /** What was read instead of a usable value: for people who look for the cause. Text is cut at 64 characters. */
  readonly raw?: RawValue;
  /** Microseconds since 1970: when it was measured, or came in where that is not known. */
  readonly timeUs: number;
  /** Of hardware: how long the unit took to answer. */
  readonly latencyUs?: number;
}
