/** Readings of many devices on a schedule: what their shadows make of them, and what that costs. */
import { setTimeout as delay } from "node:timers/promises";
import { waitFor } from "@myelin/testkit";
import type { Driver, DriverOptions } from "../driver/driver.js";
import type { Metered } from "../systems/system.js";
import { numberIn, rateBetween, secondsBetween } from "./reports.js";
import { type Figures, significant } from "./stats.js";
import { measureThroughput } from "./throughput.js";
import { coresBetween, readCpu } from "./usage.js";

export interface ShadowRun {
  readonly running: Metered;
  readonly devices: number;
  readonly points: number;
  /** Readings per second of all devices together. */
  readonly ratePerSecond: number;
  /** The devices have a profile, and so shadows; without one the same messages come and nobody reads them. */
  readonly isProfiled: boolean;
  /** Messages of others that are sent beside it afterwards, as fast as the system takes them. */
  readonly beside?: { readonly driver: Driver; readonly load: DriverOptions };
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

const KNOWN_WITHIN_MS = 60_000;
/** Devices that began together are stored together, so often: whole rounds are measured. */
const GATHERED_SECONDS = 5;

/**
 * Figures: `sent_per_second` readings, `cpu_us_per_reading` over all processes, `absorbed_per_second`, those that are in shadows or
 * waiting to be written, `dropped_percent` of those that were sent, `writes_per_second` of shadows, `driver_cores`; then the same two with `_beside`,
 * and `beside_per_second` and `beside_lost_percent` of the others' messages.
 */
export async function measureShadows(options: ShadowRun): Promise<Figures> {
  const { running, devices, points, ratePerSecond, isProfiled, beside, warmUpSeconds, seconds } = options;
  await using meters = await running.meters({ devices, points, ratePerSecond, isProfiled });
  const look = async () => {
    const cpu = readCpu(running);
    const [sent, counted] = await Promise.all([meters.snapshot(), running.shadowCounts()]);
    return { cpu, sent, counted };
  };
  type Look = Awaited<ReturnType<typeof look>>;
  const absorbedBetween = (from: Look, to: Look): Record<string, number> => {
    const { readings, dropped } = to.counted;
    const taken = readings - from.counted.readings - (dropped - from.counted.dropped);
    const sent = numberIn(to.sent, "sent") - numberIn(from.sent, "sent");
    return {
      absorbed_per_second: significant(taken / secondsBetween(from.sent, to.sent)),
      dropped_percent: significant((100 * Math.max(0, sent - taken)) / sent, 2),
    };
  };
  if (isProfiled) {
    // What is new is looked for in the store and made there: once in the life of a device.
    const isKnown = async () => (await running.shadowCounts()).writes >= devices;
    await waitFor(isKnown, { what: "a shadow of each device", deadlineMs: KNOWN_WITHIN_MS, everyMs: 200 });
  }
  await delay(warmUpSeconds * 1000);
  const from = await look();
  await delay(Math.ceil(seconds / GATHERED_SECONDS) * GATHERED_SECONDS * 1000);
  const to = await look();
  const sentPerSecond = rateBetween(from.sent, to.sent, "sent");
  const cores = coresBetween(from.cpu, to.cpu);
  const figures: Record<string, number> = {
    sent_per_second: significant(sentPerSecond),
    cpu_us_per_reading: significant((cores / sentPerSecond) * 1e6),
    system_cores: significant(cores, 3),
    driver_cores: significant(rateBetween(from.sent, to.sent, "cpu_seconds"), 3),
  };
  if (!isProfiled) return figures;
  Object.assign(figures, absorbedBetween(from, to));
  const writes = to.counted.writes - from.counted.writes;
  figures.writes_per_second = significant(writes / secondsBetween(from.sent, to.sent));
  if (beside === undefined) return figures;
  const began = await look();
  const others = await measureThroughput({
    driver: beside.driver,
    running,
    role: "publish",
    load: beside.load,
    consume: { lane: "telemetry", mode: "batch", stamp: false, gather: false },
    warmUpSeconds,
    seconds,
  });
  const both = absorbedBetween(began, await look());
  for (const [name, value] of Object.entries(both)) figures[`${name}_beside`] = value;
  const { messages_per_second, lost_percent, undelivered } = others;
  if (messages_per_second !== undefined) figures.beside_per_second = messages_per_second;
  if (lost_percent !== undefined) figures.beside_lost_percent = lost_percent;
  if (undelivered !== undefined) figures.beside_undelivered = undelivered;
  return figures;
}
