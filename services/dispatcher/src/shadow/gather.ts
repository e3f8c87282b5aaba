/** What of a device's samples goes into its shadow. */
import { isChange, type Profile, type Sample } from "@myelin/profile";
import type { Measured, ShadowDocument } from "./document.js";

/** What was measured and is not in the document yet, by point. */
export type Gathered = Map<string, Measured>;

/**
 * Puts good samples that say something new beside what was gathered. An old one never takes the place of a newer one, and one that repeats what
 * the document says only moves its time. Gives the number of samples that changed something.
 */
export function gather(
  into: Gathered,
  document: ShadowDocument | undefined,
  samples: readonly Sample[],
  profile: Profile | undefined,
): number {
  let changes = 0;
  for (const sample of samples) {
    const { point, value, timeUs, quality } = sample;
    if (quality !== "good" || value === null) continue;
    const waiting = into.get(point);
    if (waiting !== undefined) {
      if (timeUs < waiting.timeUs) continue;
      if (waiting.value !== value) changes += 1;
      waiting.value = value;
      waiting.timeUs = timeUs;
      continue;
    }
    const known = document?.reported.fields.get(point);
    if (known?.value !== undefined) {
      if (timeUs < known.timeUs) continue;
      if (known.value === value || isNoise(sample, known.value, profile)) {
        known.timeUs = timeUs;
        continue;
      }
    }
    into.set(point, { value, timeUs });
    changes += 1;
  }
  return changes;
}

/** Leaves out what the document has turned out to know already. */
export function dropKnown(gathered: Gathered, document: ShadowDocument): void {
  for (const [point, { value, timeUs }] of gathered) {
    const known = document.reported.fields.get(point);
    if (known?.value === undefined) continue;
    if (timeUs >= known.timeUs && known.value !== value) continue;
    if (timeUs > known.timeUs) known.timeUs = timeUs;
    gathered.delete(point);
  }
}

function isNoise(sample: Sample, last: unknown, profile: Profile | undefined): boolean {
  const spec = profile?.spec.points[sample.point];
  if (spec?.deadband === undefined || typeof last !== "number") return false;
  return !isChange(spec, { point: sample.point, value: last, quality: "good", timeUs: 0 }, sample);
}
