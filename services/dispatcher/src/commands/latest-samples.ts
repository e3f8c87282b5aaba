/** The newest samples of devices, as far as safety envelopes look at them. */
import type { Profile, SafetyInput, SafetyInputs, Sample } from "@myelin/profile";

/** Devices remembered; beyond it the one that reported first is forgotten, and commands that need its samples are denied. */
const MAX_DEVICES = 100_000;

const NOTHING: SafetyInputs = () => undefined;

/** One per partition. Nothing of it is stored: what a new owner has not heard denies. */
export class LatestSamples {
  readonly #devices = new Map<string, Map<string, SafetyInput>>();
  readonly #looked = new WeakMap<Profile, ReadonlySet<string>>();

  /** @param device tenant and id, as one key */
  take(device: string, profile: Profile, samples: readonly Sample[], replayed: boolean): void {
    const looked = this.#lookedAt(profile);
    if (looked.size === 0) return;
    let points = this.#devices.get(device);
    for (const sample of samples) {
      if (!looked.has(sample.point)) continue;
      const known = points?.get(sample.point);
      if (known !== undefined && known.sample.timeUs > sample.timeUs) continue;
      if (points === undefined) {
        points = new Map();
        this.#devices.set(device, points);
        if (this.#devices.size > MAX_DEVICES) this.#forgetFirst();
      }
      points.set(sample.point, { sample, replayed });
    }
  }

  of(device: string): SafetyInputs {
    const points = this.#devices.get(device);
    return points === undefined ? NOTHING : (point) => points.get(point);
  }

  #lookedAt(profile: Profile): ReadonlySet<string> {
    const known = this.#looked.get(profile);
    if (known !== undefined) return known;
    const looked = new Set<string>();
    for (const { safety } of profile.commands.values())
      for (const point of safety?.inputs ?? []) looked.add(point);
    this.#looked.set(profile, looked);
    return looked;
  }

  #forgetFirst(): void {
    for (const first of this.#devices.keys()) {
      this.#devices.delete(first);
      return;
    }
  }
}
