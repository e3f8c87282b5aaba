/** What a device's client can be told. */
import { MCP_DEFAULT_MAX_MESSAGE_BYTES, type McpLane, type McpMessageInit } from "@myelin/contract";
import { AppError, type BackoffOptions, type Clock, systemClock } from "@myelin/kernel";
import { parseServerUrl } from "./transport/registry.js";

/** Where a session stands; kept by a device over its restart, it goes on with the session within the server's resume window. */
export interface McpResumeState {
  readonly token: Uint8Array;
  /** Highest sequence of server messages that was acknowledged. */
  readonly lastReceivedSequence: number;
  /** Highest sequence that was given to a message of this device. */
  readonly lastSentSequence: number;
}

/** Options of `McpClient`; every time is in milliseconds. */
export interface McpClientOptions {
  /** `tcp://host:port`, `udp://host:port`, `ws://…` or `wss://…`. */
  readonly url: string | URL;
  readonly deviceId: string;
  readonly username?: string | undefined;
  readonly password?: string | Uint8Array | undefined;
  /** In the place of user name and password. */
  readonly token?: string | undefined;
  /** A ping is sent as often as this, or as often as the server asks for if that is more often. Default 30 s. */
  readonly heartbeatMs?: number | undefined;
  /** A ping without its pong after this is a miss. Default 10 s. */
  readonly pongTimeoutMs?: number | undefined;
  /** So many misses in a row end the connection. Default 3. */
  readonly missedPongs?: number | undefined;
  /** Opening a connection and the server's welcome together. Default 10 s. */
  readonly connectTimeoutMs?: number | undefined;
  /** Waits between two attempts; they never end. Default: full jitter from 500 ms up to 30 s. */
  readonly backoff?: BackoffOptions | undefined;
  /** Events kept until they are acknowledged; one more is refused with `queue.full`. Default 10,000 and 16 MiB. */
  readonly maxUnacknowledged?: number | undefined;
  readonly maxUnacknowledgedBytes?: number | undefined;
  /** Bytes of written messages that the system has not taken yet; more telemetry is refused with `queue.full`. Default 4 MiB. */
  readonly maxBufferedBytes?: number | undefined;
  /** Messages from the server that wait for the application. A full queue holds the server back. Default 1,000. */
  readonly maxIncoming?: number | undefined;
  /** Largest message this device takes. Default 1 MiB. */
  readonly maxMessageBytes?: number | undefined;
  /** An event that could not leave for so long is marked as replayed: it no longer causes commands. Default 5 s. */
  readonly replayedAfterMs?: number | undefined;
  /** Datagrams only: an event without acknowledgement is sent again after this, then after twice as long, up to 8 times. Default 1 s. */
  readonly retransmitMs?: number | undefined;
  readonly resume?: McpResumeState | undefined;
  readonly clock?: Clock | undefined;
}

/** One message's options. Times in microseconds since the Unix epoch unless the name says otherwise. */
export interface McpSendOptions
  extends Pick<
    McpMessageInit,
    | "contentType"
    | "deviceId"
    | "traceparent"
    | "tracestate"
    | "responsePath"
    | "correlation"
    | "replayed"
    | "quality"
    | "result"
    | "hardware"
    | "versionVector"
  > {
  /** `telemetry` (the default) is not acknowledged, `event` is once the platform has stored it. */
  readonly lane?: McpLane | undefined;
  /** Milliseconds after which nobody wants it any more; counted from `sourceTimeUs`, which is now unless it is given. */
  readonly ttlMs?: number | undefined;
  readonly sourceTimeUs?: number | undefined;
  /** Never used twice for different messages, see `mcp.proto`; one is made when it is left out. */
  readonly id?: string | undefined;
}

/** Options with every default filled in. */
export type ResolvedOptions = ReturnType<typeof resolveOptions>;

/** @throws AppError `config.invalid` for a bad URL, an empty device id, or a number that is none */
export function resolveOptions(options: McpClientOptions) {
  if (typeof options !== "object" || options === null) {
    throw new AppError("config.invalid", "an MCP client needs options with a url and a deviceId");
  }
  if (typeof options.deviceId !== "string" || options.deviceId === "") {
    throw new AppError("config.invalid", "an MCP client needs a device id");
  }
  for (const name of ["username", "token"] as const) text(name, options[name]);
  if (!(options.password instanceof Uint8Array)) text("password", options.password);
  const { resume } = options;
  if (resume !== undefined && !(resume?.token instanceof Uint8Array)) {
    throw new AppError("config.invalid", "resume of an MCP client must be what resumeState gave");
  }
  return {
    url: parseServerUrl(options.url),
    deviceId: options.deviceId,
    username: options.username ?? "",
    password: typeof options.password === "string" ? Buffer.from(options.password) : options.password,
    token: options.token ?? "",
    heartbeatMs: positive("heartbeatMs", options.heartbeatMs ?? 30_000),
    pongTimeoutMs: positive("pongTimeoutMs", options.pongTimeoutMs ?? 10_000),
    missedPongs: positive("missedPongs", options.missedPongs ?? 3),
    connectTimeoutMs: positive("connectTimeoutMs", options.connectTimeoutMs ?? 10_000),
    backoff: options.backoff ?? { initialMs: 500, maxMs: 30_000 },
    maxUnacknowledged: positive("maxUnacknowledged", options.maxUnacknowledged ?? 10_000),
    maxUnacknowledgedBytes: positive(
      "maxUnacknowledgedBytes",
      options.maxUnacknowledgedBytes ?? 16 * 1024 ** 2,
    ),
    maxBufferedBytes: positive("maxBufferedBytes", options.maxBufferedBytes ?? 4 * 1024 ** 2),
    maxIncoming: positive("maxIncoming", options.maxIncoming ?? 1_000),
    maxMessageBytes: positive("maxMessageBytes", options.maxMessageBytes ?? MCP_DEFAULT_MAX_MESSAGE_BYTES),
    replayedAfterMs: options.replayedAfterMs ?? 5_000,
    retransmitMs: positive("retransmitMs", options.retransmitMs ?? 1_000),
    resume: options.resume,
    clock: options.clock ?? systemClock,
  };
}

function text(name: string, value: unknown): void {
  if (value === undefined || typeof value === "string") return;
  throw new AppError("config.invalid", `${name} of an MCP client must be a string, not ${typeof value}`);
}

function positive(name: string, value: number): number {
  if (value > 0) return value;
  throw new AppError("config.invalid", `${name} of an MCP client must be above 0, not ${value}`);
}
