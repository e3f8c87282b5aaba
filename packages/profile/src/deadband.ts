/** Tells changes from noise. */
import type { PointSpec } from "@myelin/config";
import type { Sample } from "./sample.js";

/**
 * Does `next` say something that `last`, the sample that counted last, did not? A change of quality always does. Compare with the last one
 * that counted, not with the last one seen, or a slow drift is never a change.
 */
export function isChange(point: PointSpec, last: Sample | undefined, next: Sample): boolean {
  if (last === undefined || last.quality !== next.quality || last.reason !== next.reason) return true;
  if (typeof last.value !== "number" || typeof next.value !== "number") return last.value !== next.value;
  const distance = Math.abs(next.value - last.value);
  const { absolute = 0, percent } = point.deadband ?? {};
  const least = percent === undefined ? absolute : (Math.abs(last.value) * percent) / 100;
  return distance > 0 && distance >= least;
}
