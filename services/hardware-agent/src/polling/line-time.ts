/** Whether a line has time for all that is to be read, which points do not fit, and what would make them fit. */
import type { BusSpec } from "@myelin/config";
import type { LineCost, PlannedRead } from "../drivers/adapter.js";

/** Room that is left for commands, retries and the jitter of units. */
export const USABLE_SHARE = 0.9;
const FRAME_CHARACTERS = 3.5;
const LEAST_GAP_MS = 1.75;
const SIMULATED_BITS_PER_BYTE = 11;
const BAUDS = [9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600];

/** A request of a unit, as far as the line's time goes. */
export interface TimedRead {
  readonly unit: string;
  readonly read: Pick<PlannedRead, "requestBytes" | "responseBytes" | "intervalMs" | "points">;
}

/** What the line has time for. */
export interface LineFit {
  /** Of the line's time, all that was asked for; more than `USABLE_SHARE` does not fit. */
  readonly share: number;
  /** In the order given: whether this one is read. */
  readonly fits: readonly boolean[];
  /** For people; empty when everything fits. */
  readonly advice: string;
}

/** What bytes, gaps and units cost on the line of a Bus. */
export function lineCostOf({ link, gap, unitLatency }: BusSpec): LineCost {
  const common = { unitLatencyMs: unitLatency, outstanding: 1 };
  if (link.serial !== undefined) {
    const { baud, dataBits, parity, stopBits } = link.serial;
    const bitsPerByte = 1 + dataBits + (parity === "none" ? 0 : 1) + stopBits;
    const standard = Math.max(LEAST_GAP_MS, (FRAME_CHARACTERS * bitsPerByte * 1_000) / baud);
    return { ...common, bitsPerByte, bitsPerSecond: baud, gapMs: gap ?? standard };
  }
  const gapMs = gap ?? 0;
  const { simulated, tcp } = link;
  if (simulated !== undefined) {
    const { bitsPerSecond, latency } = simulated;
    const bitsPerByte = bitsPerSecond === undefined ? 0 : SIMULATED_BITS_PER_BYTE;
    return { ...common, unitLatencyMs: latency, bitsPerByte, bitsPerSecond: bitsPerSecond ?? 1, gapMs };
  }
  return { ...common, bitsPerByte: 0, bitsPerSecond: 1, gapMs, outstanding: tcp?.outstanding ?? 1 };
}

/** Milliseconds that a request keeps the line. */
export function readTimeMs(
  cost: LineCost,
  read: Pick<PlannedRead, "requestBytes" | "responseBytes">,
): number {
  const bits = (read.requestBytes + read.responseBytes) * cost.bitsPerByte;
  return (bits * 1_000) / cost.bitsPerSecond + cost.unitLatencyMs + 2 * cost.gapMs;
}

/** Decides which requests are made. Those that ask for the smallest shares of the line go first, so that as many as possible are. */
export function fitLine(cost: LineCost, reads: readonly TimedRead[]): LineFit {
  const shares = reads.map(({ read }) => readTimeMs(cost, read) / read.intervalMs / cost.outstanding);
  const share = shares.reduce((sum, one) => sum + one, 0);
  if (share <= USABLE_SHARE) return { share, fits: reads.map(() => true), advice: "" };
  const fits = reads.map(() => false);
  const order = [...shares.keys()].sort((a, b) => (shares[a] as number) - (shares[b] as number) || a - b);
  let taken = 0;
  for (const i of order) {
    const next = taken + (shares[i] as number);
    if (next > USABLE_SHARE) continue;
    taken = next;
    fits[i] = true;
  }
  return { share, fits, advice: adviceOf(cost, reads, share) };
}

function adviceOf(cost: LineCost, reads: readonly TimedRead[], share: number): string {
  const ways = [`poll all of it ${roundUp(share / USABLE_SHARE)} times as slowly`];
  const baud = BAUDS.find((speed) => {
    if (cost.bitsPerByte === 0 || speed <= cost.bitsPerSecond) return false;
    const gapMs = Math.min(
      cost.gapMs,
      Math.max(LEAST_GAP_MS, (FRAME_CHARACTERS * cost.bitsPerByte * 1_000) / speed),
    );
    const faster = { ...cost, bitsPerSecond: speed, gapMs };
    const sum = reads.reduce((all, { read }) => all + readTimeMs(faster, read) / read.intervalMs, 0);
    return sum <= USABLE_SHARE;
  });
  if (baud !== undefined) ways.push(`run the line at ${baud} bits per second`);
  if (cost.bitsPerByte === 0) {
    const wanted = Math.ceil((share * cost.outstanding) / USABLE_SHARE);
    ways.push(`let ${wanted} requests be outstanding, if the units bear it`);
  }
  return `it would take ${Math.round(share * 100)} % of the line, of which ${USABLE_SHARE * 100} % can be used: ${ways.join(", or ")}`;
}

function roundUp(factor: number): number {
  return Math.ceil(factor * 10) / 10;
}
