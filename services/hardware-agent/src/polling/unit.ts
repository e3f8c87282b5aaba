/** One device on a line: its reads, when they are due, and what became of them. */
import type { DeviceSpec, PointSpec } from "@myelin/config";
import { BlockEncoder, ChangeFilter, ColumnJudge, type Profile, SampleColumns } from "@myelin/profile";
import { ReadingBuffer } from "../core/readings.js";
import type { AnyDriver, HardwareAdapter, PlannedPoint, PlannedRead } from "../drivers/adapter.js";
import { UnitHealth } from "./unit-health.js";

/** A device whose resource, profile and driver fit together. */
export interface CheckedDevice {
  /** Name of the resource. */
  readonly name: string;
  readonly id: string;
  readonly spec: DeviceSpec;
  /** Of device and profile together: another one is another plan. */
  readonly version: string;
  readonly generation: number;
  readonly profile: Profile;
  readonly driver: AnyDriver;
  readonly settings: unknown;
  readonly unit: unknown;
  readonly points: readonly PlannedPoint<unknown>[];
  readonly names: readonly string[];
  readonly reads: readonly PlannedRead[];
}

/** Plain numbers, for figures and metrics. */
export interface UnitCounters {
  reads: number;
  failures: number;
  /** Reads that came later than their next one was due. */
  late: number;
  samples: number;
  latencyMs: number;
}

/** What lives as long as the device's resources stay as they are. */
export class Unit {
  readonly buffer: ReadingBuffer;
  readonly samples: SampleColumns;
  readonly judge: ColumnJudge;
  readonly filter: ChangeFilter;
  readonly encoder: BlockEncoder;
  readonly health = new UnitHealth();
  readonly counters: UnitCounters = { reads: 0, failures: 0, late: 0, samples: 0, latencyMs: 0 };
  readonly all: Uint32Array;
  /** By the number of the read; infinite for those that the line has no time for. */
  readonly dueMs: Float64Array;
  /** One request of a unit at a time. */
  isBusy = false;
  /** Some answer came since the start. */
  hasAnswered = false;
  trouble = "";

  constructor(
    readonly device: CheckedDevice,
    readonly adapter: HardwareAdapter,
  ) {
    const specs: readonly PointSpec[] = device.points.map(({ spec }) => spec);
    this.buffer = new ReadingBuffer(specs.length);
    this.samples = new SampleColumns(specs.length);
    this.judge = new ColumnJudge(specs);
    this.filter = new ChangeFilter(specs, device.spec.heartbeat);
    this.encoder = new BlockEncoder(device.names);
    this.all = Uint32Array.from(specs, (_, i) => i);
    this.dueMs = new Float64Array(device.reads.length).fill(Number.POSITIVE_INFINITY);
  }

  /** The read whose deadline is nearest among those that are due, or -1; a dead unit has one probe. */
  nextDue(nowMs: number): number {
    if (this.health.isDegraded && nowMs < this.health.retryAtMs) return -1;
    let best = -1;
    let deadline = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.dueMs.length; i++) {
      const due = this.dueMs[i] as number;
      const own = due + (this.device.reads[i] as PlannedRead).intervalMs;
      if (due > nowMs || own >= deadline) continue;
      best = i;
      deadline = own;
    }
    return best;
  }

  /** When something may be due next. */
  wakeAtMs(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const due of this.dueMs) if (due < first) first = due;
    return this.health.isDegraded ? Math.max(first, this.health.retryAtMs) : first;
  }

  /** The read is made: its next turn, in the same phase. What was missed is not made up for. */
  plan(read: number, nowMs: number): void {
    const { intervalMs } = this.device.reads[read] as PlannedRead;
    const next = (this.dueMs[read] as number) + intervalMs;
    if (next > nowMs) {
      this.dueMs[read] = next;
      return;
    }
    this.counters.late += 1;
    this.dueMs[read] = next + Math.floor((nowMs - next) / intervalMs + 1) * intervalMs;
  }
}
