/** Judges columns of raw values by what their points say: the same verdicts as `judge`, without an object per point. */
import type { PointSpec } from "@myelin/config";
import { judge, type Verdict } from "../judge.js";
import { FORM, QUALITY, type RawColumns, REASON, type SampleColumns, verdictOf } from "./columns.js";

const GOOD = verdictOf(QUALITY.good, 0);

/** Made once per version of a device's points. */
export class ColumnJudge {
  readonly #points: readonly PointSpec[];
  /** 1: a number without anything that only the slow way knows. */
  readonly #isPlain: Uint8Array;
  readonly #scale: Float64Array;
  readonly #add: Float64Array;
  /** Within these a plain number is good; the slow way says what it is otherwise. */
  readonly #low: Float64Array;
  readonly #high: Float64Array;

  /** @param points by number */
  constructor(points: readonly PointSpec[]) {
    this.#points = points;
    this.#isPlain = Uint8Array.from(points, ({ type, faults }) =>
      type === "number" && faults === undefined ? 1 : 0,
    );
    this.#scale = Float64Array.from(points, ({ scale }) => scale ?? 1);
    this.#add = Float64Array.from(points, ({ add }) => add ?? 0);
    const bound = (pick: (range: { min?: number; max?: number }) => number | undefined, none: number) =>
      Float64Array.from(points, (p) => pick(p.expected ?? {}) ?? pick(p.range ?? {}) ?? none);
    // An expected range may reach beyond what is possible: then that is the bound.
    const low = bound(({ min }) => min, -Number.MAX_VALUE);
    const high = bound(({ max }) => max, Number.MAX_VALUE);
    this.#low = low.map((value, i) => Math.max(value, points[i]?.range?.min ?? -Number.MAX_VALUE));
    this.#high = high.map((value, i) => Math.min(value, points[i]?.range?.max ?? Number.MAX_VALUE));
  }

  /** Fills `out` for these points. */
  judge(raw: RawColumns, points: Uint32Array, out: SampleColumns): void {
    const { values, quality, others } = raw;
    const hasOthers = others.length > 0;
    for (let i = 0; i < points.length; i++) {
      const n = points[i] as number;
      out.timeUs[n] = raw.sourceTimeUs[n] as number;
      if (quality[n] === QUALITY.good && this.#isPlain[n] === 1 && !(hasOthers && others[n] !== undefined)) {
        // Never a negative zero, see `judge`. NaN and infinities fail the comparison.
        const value = (values[n] as number) * (this.#scale[n] as number) + (this.#add[n] as number) + 0;
        if (value >= (this.#low[n] as number) && value <= (this.#high[n] as number)) {
          out.values[n] = value;
          out.forms[n] = FORM.number;
          out.verdicts[n] = GOOD;
          continue;
        }
      }
      this.#judgeSlowly(raw, n, out);
    }
  }

  #judgeSlowly(raw: RawColumns, n: number, out: SampleColumns): void {
    const point = this.#points[n] as PointSpec;
    const said = raw.quality[n] as number;
    const reason = raw.reason[n] as number;
    out.raws[n] = undefined;
    if (said === QUALITY.bad) {
      out.forms[n] = FORM.none;
      out.verdicts[n] = verdictOf(QUALITY.bad, reason);
      return;
    }
    // Missing is impossible here, so there always is a verdict.
    const verdict = judge(point, rawValue(point, raw, n)) as Verdict;
    setValue(out, n, verdict.value);
    out.raws[n] = verdict.raw;
    const isWorse = verdict.quality === "good" && said === QUALITY.uncertain;
    out.verdicts[n] = isWorse
      ? verdictOf(QUALITY.uncertain, reason === 0 ? REASON.source_uncertain : reason)
      : verdictOf(QUALITY[verdict.quality], verdict.reason === undefined ? 0 : REASON[verdict.reason]);
  }
}

function rawValue({ type }: PointSpec, { values, others }: RawColumns, n: number): unknown {
  const other = others[n];
  if (other !== undefined) return other;
  const number = values[n] as number;
  if (type !== "boolean") return number;
  return number === 0 ? false : number === 1 ? true : number;
}

/** Columns have no room for waveforms: a unit gives one value for each point, which is none of a waveform. */
function setValue(out: SampleColumns, n: number, value: Verdict["value"]): void {
  if (typeof value === "number") {
    out.values[n] = value;
    out.forms[n] = FORM.number;
  } else if (typeof value === "boolean") out.forms[n] = value ? FORM.true : FORM.false;
  else if (typeof value === "string") {
    out.texts[n] = value;
    out.forms[n] = FORM.text;
  } else out.forms[n] = FORM.none;
}
