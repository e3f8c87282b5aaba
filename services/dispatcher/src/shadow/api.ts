/** What other parts of the dispatcher use of shadows. Whoever changes one asks `ShadowClient` of packages/bus, wherever its owner is. */
import type { JsonObject } from "./json.js";

/** A shadow of a device; the name is empty for the classic one. */
export interface ShadowKey {
  readonly tenant: string;
  readonly device: string;
  readonly name: string;
}

/** How far a device follows what is desired of it. `conflict`: it does not want to, or two writers crossed. */
export type ShadowConditionState = "synced" | "drifted" | "conflict" | "unreachable";

/** How a shadow stands, since when, and why. */
export interface ShadowCondition {
  readonly state: ShadowConditionState;
  readonly sinceMs: number;
  readonly reason: string;
}

/** A change of a shadow that is stored. */
export interface ShadowChanged {
  readonly key: ShadowKey;
  readonly version: number;
  readonly desired: JsonObject;
  readonly reported: JsonObject;
  /** What is desired and not reported; undefined: nothing. */
  readonly delta: JsonObject | undefined;
  readonly condition: ShadowCondition | undefined;
  readonly isGone: boolean;
}

/** The shadows of the partitions that this process owns. */
export interface ShadowFeed {
  /**
   * Tells of each change once it is stored, in the order of a shadow's versions; what is measured is gathered before, so not every value is
   * seen. The listener must not throw, and keeps nothing waiting.
   */
  onChange(listener: (partition: number, change: ShadowChanged) => void): () => void;
}
