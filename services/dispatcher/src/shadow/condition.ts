/** How a shadow stands: whether its device follows what is desired. */
import { isChange, type Profile, type Sample } from "@myelin/profile";
import type { ShadowCondition, ShadowConditionState, ShadowKey } from "./api.js";
import type { Tolerance } from "./document.js";
import type { Json, JsonObject } from "./json.js";
import { settersOf } from "./setters.js";

/** A condition that says the same keeps its time. */
export function conditionAs(
  known: ShadowCondition | undefined,
  state: ShadowConditionState,
  reason: string,
  nowMs: number,
): ShadowCondition {
  if (known?.state !== state) return { state, sinceMs: nowMs, reason };
  return known.reason === reason ? known : { ...known, reason };
}

/** What a change of a shadow makes of its condition. One that tells of a conflict stays until something else is desired. */
export function conditionOf(
  known: ShadowCondition | undefined,
  delta: JsonObject | undefined,
  isConnected: boolean,
  nowMs: number,
): ShadowCondition {
  if (delta === undefined) return conditionAs(known, "synced", "", nowMs);
  if (known !== undefined && known.state !== "synced") return known;
  return isConnected
    ? conditionAs(known, "drifted", "the device was told and has not followed yet", nowMs)
    : conditionAs(known, "unreachable", "the device is not connected", nowMs);
}

/**
 * In the classic shadow a measured point counts as reached within its deadband, and within what the command that sets it is verified by: no device
 * comes closer.
 */
export function toleranceOf({ name }: ShadowKey, profile: Profile | undefined): Tolerance | undefined {
  if (name !== "" || profile === undefined) return undefined;
  return (path, desired, reported) => {
    const [point = "", ...below] = path;
    if (typeof desired !== "number" || typeof reported !== "number" || below.length > 0) return false;
    const setter = settersOf(profile).get(point);
    if (setter !== undefined && Math.abs(desired - reported) <= setter.tolerance) return true;
    const spec = Object.hasOwn(profile.spec.points, point) ? profile.spec.points[point] : undefined;
    if (spec?.deadband === undefined) return false;
    return !isChange(spec, sampleOf(point, desired), sampleOf(point, reported));
  };
}

function sampleOf(point: string, value: Json): Sample {
  return { point, value: value as number, quality: "good", timeUs: 0 };
}
