/** What of a device's samples goes into its shadow. */
import { isChange, type Profile, type Sample } from "@myelin/profile";
import { crest, peak, rms } from "@myelin/rules";
import type { Measured, ShadowDocument } from "./document.js";
import { pathBelow } from "./json.js";

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
    const { point, value, quality } = sample;
    if (quality !== "good" || value === null) continue;
    if (typeof value !== "object") changes += take(into, document, point, value, sample, profile);
    // What was measured as a simple value before stays until it is removed: there is no field below one.
    else if (document?.reported.fields.get(point)?.value === undefined)
      for (const [what, of] of WAVEFORM)
        changes += take(into, document, pathBelow(point, what), of(value), sample, profile);
  }
  return changes;
}

/** What is shown of a waveform: the whole of it is for rules and stores, not for a document that is sent at each change. */
const WAVEFORM = [
  ["rms", rms],
  ["peak", peak],
  ["crest", crest],
] as const;

/** 1: it changes something. */
function take(
  into: Gathered,
  document: ShadowDocument | undefined,
  path: string,
  value: Measured["value"],
  sample: Sample,
  profile: Profile | undefined,
): 0 | 1 {
  const { timeUs } = sample;
  const waiting = into.get(path);
  if (waiting !== undefined) {
    if (timeUs < waiting.timeUs) return 0;
    const isOther = waiting.value !== value;
    waiting.value = value;
    waiting.timeUs = timeUs;
    return isOther ? 1 : 0;
  }
  const known = document?.reported.fields.get(path);
  if (known?.value !== undefined) {
    if (timeUs < known.timeUs) return 0;
    if (known.value === value || isNoise(sample, known.value, profile)) {
      known.timeUs = timeUs;
      return 0;
    }
  }
  into.set(path, { value, timeUs });
  return 1;
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
