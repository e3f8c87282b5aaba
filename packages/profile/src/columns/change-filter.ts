/** Report by exception over columns: what differs from what was told last, and what has not been told for long. */
import type { PointSpec } from "@myelin/config";
import { FORM, type SampleColumns } from "./columns.js";

/** The same verdicts as `isChange`, without an object per point. Made once per version of a device's points. */
export class ChangeFilter {
  readonly #absolute: Float64Array;
  readonly #percent: Float64Array;
  readonly #values: Float64Array;
  readonly #forms: Uint8Array;
  readonly #verdicts: Uint8Array;
  readonly #texts: (string | undefined)[] = [];
  readonly #toldMs: Float64Array;
  readonly #chosen: Uint32Array;

  /**
   * @param points by number
   * @param heartbeatMs a point is told at least this often, so that who listens knows the difference between unchanged and gone; 0: always
   */
  constructor(
    points: readonly PointSpec[],
    private readonly heartbeatMs: number,
  ) {
    this.#absolute = Float64Array.from(points, ({ deadband }) => deadband?.absolute ?? 0);
    this.#percent = Float64Array.from(points, ({ deadband }) => deadband?.percent ?? 0);
    this.#values = new Float64Array(points.length);
    this.#forms = new Uint8Array(points.length);
    this.#verdicts = new Uint8Array(points.length);
    this.#toldMs = new Float64Array(points.length).fill(Number.NEGATIVE_INFINITY);
    this.#chosen = new Uint32Array(points.length);
  }

  /** Those of `points` that are to be told now; taken for told. Valid until the next call. */
  choose(samples: SampleColumns, points: Uint32Array, nowMs: number): Uint32Array {
    let count = 0;
    for (let i = 0; i < points.length; i++) {
      const n = points[i] as number;
      const isDue = nowMs - (this.#toldMs[n] as number) >= this.heartbeatMs;
      if (!isDue && !this.#isChange(samples, n)) continue;
      this.#values[n] = samples.values[n] as number;
      this.#forms[n] = samples.forms[n] as number;
      this.#verdicts[n] = samples.verdicts[n] as number;
      if (samples.forms[n] === FORM.text) this.#texts[n] = samples.texts[n];
      this.#toldMs[n] = nowMs;
      this.#chosen[count++] = n;
    }
    return this.#chosen.subarray(0, count);
  }

  /** These count as never told: what was chosen last could not be handed on. */
  forget(points: Uint32Array): void {
    for (const n of points) this.#toldMs[n] = Number.NEGATIVE_INFINITY;
  }

  #isChange(samples: SampleColumns, n: number): boolean {
    const form = samples.forms[n];
    if (samples.verdicts[n] !== this.#verdicts[n] || form !== this.#forms[n]) return true;
    if (form === FORM.text) return samples.texts[n] !== this.#texts[n];
    if (form !== FORM.number) return false;
    const last = this.#values[n] as number;
    const distance = Math.abs((samples.values[n] as number) - last);
    const percent = this.#percent[n] as number;
    const least = percent > 0 ? (Math.abs(last) * percent) / 100 : (this.#absolute[n] as number);
    return distance > 0 && distance >= least;
  }
}
