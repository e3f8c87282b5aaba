/** What the engine takes and tells. */
import type { Value } from "./device.js";
import type { Rule } from "./rule.js";

/** A rule has fired, or what it fired for is over. */
export interface Firing {
  readonly rule: Rule;
  readonly tenant: string;
  readonly device: string;
  /** `fired`: of a rule that fires always, so that nothing ends. */
  readonly state: "raised" | "cleared" | "fired";
  readonly atMs: number;
  /** All that the rule names, as far as it is known. */
  readonly values: Readonly<Record<string, Value>>;
  /** Of the message that it fires for; empty: none. */
  readonly topic: string;
  /** What it fires for was kept during an outage. */
  readonly isReplayed: boolean;
}

/** Who speaks. */
export interface Speaker {
  readonly tenant: string;
  readonly device: string;
  /** Name of its profile; empty: it has none. */
  readonly profile: string;
}

/** How a message comes in. */
export interface Occasion extends Speaker {
  readonly topic: string;
  readonly atMs: number;
  readonly isReplayed: boolean;
  readonly online?: undefined;
}

/** A point and what it holds; null: it has been measured, and is not known. */
export interface PointValue {
  readonly point: string;
  readonly value: Value | null;
}

/** What the engine counts. Read by whoever tells of it; never reset. */
export interface EngineCounters {
  evaluations: number;
  firings: number;
  /** Held back by a cooldown. */
  cooled: number;
  /** Expressions that could not be evaluated with the values of the moment. */
  failed: number;
  /** Samples that were older than what was known. */
  late: number;
  /** Lists of numbers that were not looked at, because those before them had taken the time there is. */
  overBudget: number;
  /** Devices forgotten, because there were too many. */
  forgotten: number;
}
