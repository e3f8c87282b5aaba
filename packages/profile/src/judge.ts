/** Judges one raw value by what its point says. */
import type { PointSpec } from "@myelin/config";
import { MISSING } from "./read.js";
import type { RawValue, SampleQuality, SampleReason, SampleValue } from "./sample.js";

const MAX_RAW_TEXT = 64;

/** A value and how far it can be trusted; bad ones have none. */
export interface Verdict {
  readonly value: SampleValue | null;
  readonly quality: SampleQuality;
  readonly reason?: SampleReason;
  readonly raw?: RawValue;
}

/** What a point's raw values are; undefined: the payload says nothing of it. */
export function judge(point: PointSpec, raw: unknown): Verdict | undefined {
  if (raw === MISSING) return point.whenMissing === "bad" ? bad("missing", raw) : undefined;
  if (raw === null || raw === undefined) return bad("no_value", raw);
  switch (point.type) {
    case "boolean":
      return typeof raw === "boolean" ? { value: raw, quality: "good" } : bad("wrong_type", raw);
    case "string":
      return judgeText(point, raw);
    case "number":
    case "integer":
      return judgeNumber(point, point.type, raw);
    case "waveform":
      return judgeWaveform(point, raw);
  }
}

/** As good as its worst element; what is found instead of a bad one is told. */
function judgeWaveform(point: PointSpec, raw: unknown): Verdict {
  const { elements, length } = point.waveform!;
  if (!Array.isArray(raw)) return bad("wrong_type", raw);
  if (raw.length !== length) return bad("wrong_length", raw.length);
  const value = new Array<number>(length);
  let doubt: SampleReason | undefined;
  for (let i = 0; i < length; i++) {
    const verdict = judgeNumber(point, elements, raw[i]);
    if (verdict.quality === "bad") return verdict;
    if (verdict.quality === "uncertain") doubt ??= verdict.reason;
    value[i] = verdict.value as number;
  }
  return doubt === undefined ? { value, quality: "good" } : { value, quality: "uncertain", reason: doubt };
}

function judgeText({ words }: PointSpec, raw: unknown): Verdict {
  if (typeof raw !== "string") return bad("wrong_type", raw);
  if (words !== undefined && !words.includes(raw)) return bad("unknown_word", raw);
  return { value: raw, quality: "good" };
}

function judgeNumber(point: PointSpec, type: "number" | "integer", raw: unknown): Verdict {
  if (typeof raw !== "number" && typeof raw !== "bigint") return bad("wrong_type", raw);
  const number = Number(raw);
  if (!Number.isFinite(number)) return bad("not_finite", raw);
  if (typeof raw === "bigint" && !Number.isSafeInteger(number)) return bad("inexact", raw);
  if (point.faults?.includes(number) === true) return bad("fault", raw);
  // Never a negative zero, which is equal to the other one and prints like it but is not the same everywhere.
  const value = number * (point.scale ?? 1) + (point.add ?? 0) + 0;
  if (!Number.isFinite(value)) return bad("not_finite", raw);
  if (type === "integer") {
    if (!Number.isInteger(value)) return bad("wrong_type", raw);
    if (!Number.isSafeInteger(number) || !Number.isSafeInteger(value)) return bad("inexact", raw);
  }
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = point.range ?? {};
  if (value < min) return bad("below_range", raw);
  if (value > max) return bad("above_range", raw);
  const { min: low = min, max: high = max } = point.expected ?? {};
  if (value < low) return { value, quality: "uncertain", reason: "below_expected" };
  if (value > high) return { value, quality: "uncertain", reason: "above_expected" };
  return { value, quality: "good" };
}

/** A sample without a value, and what was found instead where it can be told. */
export function bad(reason: SampleReason, raw: unknown): Verdict {
  const verdict = { value: null, quality: "bad", reason } as const;
  if (typeof raw === "boolean") return { ...verdict, raw };
  if (typeof raw === "bigint") return { ...verdict, raw: String(raw).slice(0, MAX_RAW_TEXT) };
  if (typeof raw === "string") return { ...verdict, raw: raw.slice(0, MAX_RAW_TEXT).toWellFormed() };
  // What is not finite has no form in JSON.
  if (typeof raw === "number") return { ...verdict, raw: Number.isFinite(raw) ? raw : String(raw) };
  return verdict;
}
