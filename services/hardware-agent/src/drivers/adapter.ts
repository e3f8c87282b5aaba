/** What every driver must do, then what it may do. A driver is a folder here and a line in the registry. */
import type { PointSpec, Schema } from "@myelin/config";
import type { AppError, Clock } from "@myelin/kernel";
import type { RawValue, SampleReason } from "@myelin/profile";
import type { ReadingBuffer } from "../core/readings.js";
import type { Link, LinkKind, Priority } from "../links/link.js";

/** A point of a device on its way into a plan. */
export interface PlannedPoint<Address> {
  /** Its place in the columns of the device's `ReadingBuffer`. */
  readonly number: number;
  readonly address: Address;
  readonly spec: PointSpec;
  /** How often it is to be read. */
  readonly intervalMs: number;
}

/** One request that reads points. Drivers add what they need to make it. */
export interface PlannedRead {
  /** Numbers of the points that it reads. */
  readonly points: Uint32Array;
  /** What goes over the line, framing included, so that its time can be computed from bit times. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly intervalMs: number;
}

/** What became of a read. What the unit said of each point stands in the buffer. */
export interface ReadOutcome {
  /** `complete`: it answered, with values or with a refusal of some or all of them, so it lives; `none`: no answer that can be trusted. */
  readonly answer: "complete" | "none";
  /** For people who look for the cause; absent where all went well. */
  readonly error?: AppError | undefined;
  /** From the first byte out to the last byte in, without the wait for the line. */
  readonly latencyMs: number;
}

/** One value on its way to a unit: raw, as the unit takes it. */
export interface PlannedWrite<Address = unknown> {
  readonly address: Address;
  readonly value: RawValue;
  readonly priority: Extract<Priority, "stop" | "command">;
}

/** What is certain of a write. */
export interface WriteOutcome {
  /** `written`: acknowledged by the unit; `not_written`: certainly not; `unknown`: it may have been. */
  readonly outcome: "written" | "not_written" | "unknown";
  readonly error?: AppError | undefined;
}

/** What a scan has found. */
export interface DiscoveredUnit {
  /** As `spec.address` of a Device takes it. */
  readonly address: string;
  readonly description: string;
}

/** One unit on a line, spoken to. */
export interface HardwareAdapter<Read extends PlannedRead = PlannedRead, Address = unknown> {
  /** Makes ready what the unit itself asks for, such as a session; the line is connected already. @throws AppError retryable */
  connect(signal: AbortSignal): Promise<void>;
  /** Safe twice, and before `connect`. */
  disconnect(): Promise<void>;
  /**
   * Fills `out` for every point of `read`: a raw value, or bad with its reason. Waits for its turn on the line.
   * Never rejects for what the unit or the line did; only when the signal aborts, and then nothing was written to `out`.
   */
  readSensor(read: Read, out: ReadingBuffer, priority: Priority, signal: AbortSignal): Promise<ReadOutcome>;
  /** Writes one value. Never rejects: an aborted wait is `not_written`, an aborted conversation `unknown`. */
  sendCommand(write: PlannedWrite<Address>, signal: AbortSignal): Promise<WriteOutcome>;
  /** Looks for units by reads that change nothing. */
  discover?(signal: AbortSignal): AsyncIterable<DiscoveredUnit>;
  /** The unit tells of changes by itself: fills `out` and names the points. Ends with the returned disposable. */
  subscribe?(
    points: Uint32Array,
    out: ReadingBuffer,
    changed: (points: Uint32Array) => void,
    signal: AbortSignal,
  ): Promise<AsyncDisposable>;
}

/** How a line's time is computed from the bytes of a request. */
export interface LineCost {
  /** Bits that a byte takes on the line, start, parity and stop bits included; 0 where bytes cost no time that counts. */
  readonly bitsPerByte: number;
  readonly bitsPerSecond: number;
  /** Silence that must be kept between request and answer, and before the next request, in bytes' time or milliseconds. */
  readonly gapMs: number;
  /** How long a unit thinks before it answers. */
  readonly unitLatencyMs: number;
  /** How many requests may be on the way to different units at a time. */
  readonly outstanding: number;
}

/** A protocol. Stateless; everything it parses comes back to it as it was. */
export interface Driver<
  Unit = unknown,
  Address = unknown,
  Settings = unknown,
  Read extends PlannedRead = PlannedRead,
> {
  /** As `driver` of a Device: the name of its folder, or one that begins with that and a dash: `modbus-rtu` is in `modbus`. */
  readonly name: string;
  /** On which lines it can be spoken. */
  readonly links: readonly LinkKind[];
  /** What `settings` of a Device may say; each has a default. */
  readonly settings: Schema<Settings>;
  /** `spec.address`. @throws AppError `hardware.bad_address` with the rule */
  parseUnit(text: string | undefined): Unit;
  /** `spec.points.<name>.address`. @throws AppError `hardware.bad_address` with the rule, also when a point of this type cannot lie there */
  parseAddress(text: string, point: PointSpec): Address;
  /**
   * Pure. Coalesces the points of a unit into as few requests as its limits allow, each point in exactly one of them. Points of different intervals
   * are in different requests.
   */
  plan(unit: Unit, points: readonly PlannedPoint<Address>[], settings: Settings): readonly Read[];
  /** Makes the unit's adapter; does no I/O. */
  open(link: Link, unit: Unit, settings: Settings, clock: Clock): HardwareAdapter<Read, Address>;
}

/** Any driver, for code that treats all alike: what `parse…` returns is only ever given back to the same driver. */
export type AnyDriver = Driver;

/** Reasons that a driver gives for points it could not read. */
export type ReadFailure = Extract<
  SampleReason,
  | "no_reply"
  | "bad_reply"
  | "unreachable"
  | "unknown_function"
  | "unknown_address"
  | "refused_value"
  | "unit_fault"
  | "unit_busy"
  | "refused"
  | "not_read"
>;
