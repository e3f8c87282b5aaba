/** What a Bus says of the manners of the units on it. */
import type { BusSpec } from "@myelin/config";
import type { LineManners } from "./link.js";

/** As lines that carry bytes hand it to whoever speaks on them. */
export function mannersOf({ timeout, turnaround }: BusSpec): LineManners {
  return { timeoutMs: timeout, turnaroundMs: turnaround };
}
