/** Stores of readings, measured at their interface: what is stored counts when it has been acknowledged, and so lies on a disk. */
import { type DataStore, ReadingBlock } from "@myelin/data-store";
import { AppError } from "@myelin/kernel";
import type { Running } from "../systems/system.js";
import { type Figures, significant } from "./stats.js";

/** Where a store keeps what it is given; disposal removes it. */
export interface StoreRig extends Running {
  readonly store: DataStore;
}

const BLOCK = 50_000;
const STEP_US = 1_000_000;
const FIRST_US = 1_700_000_000_000_000;
const NEWEST = 1_000;
const TRIES = 5;

const deviceOf = (point: number): string => `device-${point}`;

/** Points report in turn, as devices do. Two blocks are on their way at a time: one is stored while the next one is made. */
export async function measureWrites(store: DataStore, points: number, readings: number): Promise<Figures> {
  // Tables, and the identities of the series, are made once in the life of a store.
  await store.write(block(points, -points, points));
  const began = performance.now();
  let before: Promise<void> = Promise.resolve();
  for (let at = 0; at < readings; at += BLOCK) {
    const writing = store.write(block(points, at, BLOCK));
    await before;
    before = writing;
  }
  await before;
  const seconds = (performance.now() - began) / 1_000;
  return { stored_per_second: significant(readings / seconds) };
}

/** Of what `measureWrites` has stored: each figure is the longest of a few, each time of another point. */
export async function measureQueries(store: DataStore, points: number, readings: number): Promise<Figures> {
  const each = readings / points;
  // What answers is started by the first question.
  await store.latest({ tenant: "", device: deviceOf(0), limit: 1 });
  let newestMs = 0;
  let aggregateMs = 0;
  for (let i = 0; i < TRIES; i++) {
    const device = deviceOf(Math.floor((i * points) / TRIES));
    const ever = { tenant: "", device, path: "plant", point: "t", fromUs: 0, toUs: Number.MAX_SAFE_INTEGER };
    const began = performance.now();
    const { rows } = await store.range({ ...ever, order: "descending", limit: NEWEST });
    newestMs = Math.max(newestMs, performance.now() - began);
    expectCount(rows.length, Math.min(NEWEST, each + 1));
    const then = performance.now();
    const sums = await store.aggregate({ ...ever, limit: 1 });
    aggregateMs = Math.max(aggregateMs, performance.now() - then);
    // With the one by which the series was made.
    expectCount(sums.rows[0]?.count ?? 0, each + 1);
  }
  return { newest_1000_ms: significant(newestMs), aggregate_ms: significant(aggregateMs) };
}

function expectCount(found: number, expected: number): void {
  if (found === expected) return;
  throw new AppError("internal.unexpected", `the store answered with ${found} readings, not ${expected}`);
}

function block(points: number, from: number, count: number): ReadingBlock {
  const made = new ReadingBlock();
  const series = Array.from({ length: points }, (_, point) =>
    made.seriesNumber("", deviceOf(point), "plant", "t"),
  );
  for (let i = from; i < from + count; i++) {
    const timeUs = FIRST_US + Math.floor(i / points) * STEP_US;
    made.addNumber(series[(i + points) % points]!, timeUs, 20 + Math.sin(i), "good", i + points + 1);
  }
  return made;
}
