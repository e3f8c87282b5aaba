/** What the bench asks of a system it measures: Myelin and each peer are one folder and one registry line. */
import type { ControlReport } from "../process/controlled.js";

/** The ways in that the scenarios use. */
export type Protocol = "mqtt" | "tcp" | "http";

/** Why a system cannot be measured here, and the command or package that would change it. */
export interface Lack {
  readonly what: string;
  readonly remedy: string;
}

/** `variant` is one of the system's `variants`, and the first where none is named; `connections` is what will come. */
export interface StartOptions {
  readonly variant?: string;
  readonly connections: number;
}

/** Ways over a bridge, seen from the system that has it. */
export type Direction = "in" | "out";

/** `farPort` is that of an MQTT broker on loopback with which `bench/#` is exchanged at QoS 1. */
export interface BridgedOptions extends StartOptions {
  readonly farPort: number;
  readonly direction: Direction;
}

/** A system that can be measured. */
export interface System {
  /** Equals its folder and its key in the registry. */
  readonly name: string;
  readonly protocols: readonly Protocol[];
  /** Settings that a user must choose between and that change the figures, such as a durability. */
  readonly variants?: readonly string[];
  /** Names of the parts that can run alone; the `base` scenario measures each. */
  readonly services?: readonly string[];
  /** Asked before every run; looks, installs nothing. Undefined when the system can be started. */
  lack(): Promise<Lack | undefined>;
  /** Called with `--install` when something lacks. Rejects with what went wrong; `lack` is asked again afterwards. */
  install?(): Promise<void>;
  /** Starts it fresh, with empty stores, on free ports of loopback, and resolves when it accepts connections. */
  start(options: StartOptions): Promise<Running>;
  /** The same with a bridge, which has whatever room its outbox may have; need not be up at once. */
  startBridged?(options: BridgedOptions): Promise<Running>;
  /** The same with a profile of devices that can be commanded. */
  startCommanded?(): Promise<Commanded>;
  /** The same with a profile of devices that report. */
  startMetered?(): Promise<Metered>;
  /** Starts one of `services` alone, with what it needs beside it; `pids` are those of the service only. */
  startService?(service: string): Promise<Running>;
}

/** Where and how one posts readings; `{c}` in the path becomes the connection's number. */
export interface HttpTarget {
  readonly path: string;
  /** One more header line, for example a key. */
  readonly header?: string;
}

/** What a plain TCP device says first and how it keeps alive; `########` in `hello` becomes its number. */
export interface TcpGreeting {
  readonly hello: Uint8Array;
  readonly ping: Uint8Array;
}

/** One run of a system. Disposal ends all its processes and removes its data. */
export interface Running extends AsyncDisposable {
  readonly version: string;
  readonly mqttPort?: number;
  /** Of the broker that its bridge leads to. */
  readonly farMqttPort?: number;
  readonly tcpPort?: number;
  readonly httpPort?: number;
  readonly tcpGreeting?: TcpGreeting;
  /** All processes of the system as they are now, without the consuming app; children are found by the bench. */
  pids(): number[];
  /** The same processes by their duty, where a system has more than one. */
  roles?(): Readonly<Record<string, number[]>>;
  httpTarget?(kind: "single" | "ndjson", lane: Lane): HttpTarget;
  /** How to upset it; left out where nothing brings a system back. */
  readonly recoverable?: Recoverable;
  /** What an operator can do to it; left out by brokers. */
  readonly operable?: Operable;
  /** Starts the consuming process. Left out by brokers: the driver subscribes over MQTT then. */
  consume?(options: ConsumeOptions): Promise<Consumer>;
}

/** One run of a system whose devices take commands. */
export interface Commanded extends Running {
  /** Starts so many devices, and the process that commands them at this rate; its reports are those of `Consumer`, and count what `failed`. */
  commander(devices: number, ratePerSecond: number): Promise<Consumer>;
}

/** What reports: on a schedule, each device with all its points at a time. */
export interface MeterOptions {
  readonly devices: number;
  readonly points: number;
  /** Readings, of all devices together. */
  readonly ratePerSecond: number;
  /** The devices are registered with the profile of the system; otherwise nobody knows them. */
  readonly isProfiled: boolean;
}

/** What became of readings since the start: those that came to shadows, those of them that had no room, and shadows stored. */
export interface ShadowCounts {
  readonly readings: number;
  readonly dropped: number;
  readonly writes: number;
}

/** One run of a system that keeps shadows of its devices. */
export interface Metered extends Running {
  /** Starts the devices; reports count the readings that were `sent`, and those `skipped` because a connection did not take them. */
  meters(options: MeterOptions): Promise<Consumer>;
  shadowCounts(): Promise<ShadowCounts>;
}

/** A system that is meant to come back by itself, and to take edits while it runs. */
export interface Recoverable {
  /** Where an `IpcClient` connects. */
  readonly appTarget: string;
  /** Where one reading of a device is posted. */
  postUrl(lane: Lane): string;
  /** Makes `app` the only one that gets these readings, by an edit of a file as an operator makes it. */
  writeRoute(app: string): Promise<void>;
  /** The process of that name as the system knows it now. */
  pidOf(name: string): number | undefined;
  isReady(name: string): Promise<boolean>;
}

/** A system that takes resources while it runs, tells its metrics, and has a command line. */
export interface Operable {
  readonly dataDir: string;
  /** Makes these YAML documents all that it is given, by an edit of a file; resolves when they are written, not when they are in force. */
  putResources(yaml: string): Promise<void>;
  /** Sum of a metric over its labels, of the process that routes; 0 where it is not there. */
  metric(name: string): Promise<number>;
  /** Runs its command line. Rejects with what it wrote when it fails. */
  run(
    args: readonly string[],
    timeoutMs: number,
  ): Promise<{ readonly stdout: string; readonly stderr: string }>;
}

/** Telemetry may lose and counts it, events are acknowledged when stored. */
export type Lane = "telemetry" | "event";

/** `mode` is how the app takes messages; `stamp` asks for latency from the stamp at the head of each payload. */
export interface ConsumeOptions {
  readonly lane: Lane;
  readonly mode: "batch" | "callback";
  readonly stamp: boolean;
}

/**
 * The process at the end of the way. Its reports carry `received`, `time_ns` (monotonic clock of the machine, as text),
 * `cpu_seconds` and, with `stamp`, `latency` as the driver prints it.
 */
export interface Consumer extends AsyncDisposable {
  snapshot(): Promise<ControlReport>;
  reset(): Promise<ControlReport>;
  stop(): Promise<ControlReport>;
}
