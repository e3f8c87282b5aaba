/** What an application tells the client, and what it gets where it says nothing. */
import { isTopicFilter } from "@myelin/contract";
import type { AppError, Clock } from "@myelin/kernel";
import { check, checkOptions } from "../check.js";
import type { Message } from "./message.js";
import { type KindWord, kinds, type ProtocolWord, protocols } from "./words.js";

/** An MQTT filter over the path, or a filter with further conditions; empty lists match everything. */
export type SubscriptionOption =
  | string
  | {
      readonly filter: string;
      /** Device ids; `*` and `?` as in file names. */
      readonly deviceIds?: readonly string[];
      readonly kinds?: readonly KindWord[];
      readonly protocols?: readonly ProtocolWord[];
      readonly ports?: readonly string[];
    };

/** What happens to a message whose handler threw or rejected. */
export interface HandlerErrorPolicy {
  /**
   * `retry`: the handler is called again, with growing pauses; later messages of the same device wait, others go on.
   * `skip`: counted, reported to `onError`, acknowledged. `stop`: the client stops and acknowledges nothing more.
   */
  readonly policy: "retry" | "skip" | "stop";
  /** With `retry`: after so many calls the message is skipped; 0 for never. */
  readonly maxAttempts?: number;
}

/** How the client comes back after it lost the bridge. */
export interface ReconnectOptions {
  /** Tries in any 60 seconds while none succeeds. */
  readonly perMinute?: number;
  /** Failed tries in a row after which the client gives up and is `failed`; 0 for never. */
  readonly maxTries?: number;
  /** The first wait is drawn between 0 and this. */
  readonly initialMs?: number;
}

/** Only `app` has no default. Sizes in bytes, times in milliseconds. */
export interface IpcClientOptions {
  /** The app's name: subscriptions are durable by it, instances of one name share the work. */
  readonly app: string;
  /** Unique among the running instances of the app; the bridge makes one where it is left out. */
  readonly instance?: string;
  /** `host:port` for gRPC, `unix:/path/to/socket` for a Unix socket. */
  readonly target?: string;
  readonly subscriptions?: readonly SubscriptionOption[];
  /** Messages and bytes that may be on the way here, unacknowledged. */
  readonly credit?: { readonly messages?: number; readonly bytes?: number };
  /** Needed from other machines when the bridge asks for one. */
  readonly token?: string;
  /** Where the bridge asks GET for this app's health; left out: it asks on the stream and `isHealthy` answers. */
  readonly healthUrl?: string;
  /** Asked at each health check; must be quick. */
  readonly isHealthy?: () => boolean;
  /** Async handlers that may run at once. Messages of one device never run at once, whatever this says. */
  readonly concurrency?: number;
  readonly onHandlerError?: HandlerErrorPolicy;
  readonly reconnect?: ReconnectOptions;
  /** For the connection and the welcome together. */
  readonly connectTimeoutMs?: number;
  /** For requests and sends that say nothing else. */
  readonly requestTimeoutMs?: number;
  /** How long published events may wait to be stored, the time without a bridge included. */
  readonly publishTimeoutMs?: number;
  /** Published and not yet sent or stored; beyond it `publish` and `publishEvents` refuse. */
  readonly maxUnsentBytes?: number;
  /** How long `stop` waits for handlers, acknowledgements and publishes. */
  readonly stopTimeoutMs?: number;
  /** PEM files' bytes for gRPC over TLS; plain text when left out. */
  readonly tls?: { readonly ca: Buffer; readonly key?: Buffer; readonly certificate?: Buffer };
  /** Told of every error that no call of the app returns: handler errors, lost connections, refused telemetry. */
  readonly onError?: (error: AppError, message?: Message) => void;
  readonly onStateChange?: (state: ClientState) => void;
  /** For tests. */
  readonly clock?: Clock;
}

/** `failed`: the client has given up and must be started anew by a new client. */
export type ClientState =
  | "idle"
  | "connecting"
  | "connected"
  | "reconnecting"
  | "stopping"
  | "stopped"
  | "failed";

/** Options with nothing left open. */
export interface Settings {
  readonly app: string;
  readonly instance: string;
  readonly target: string;
  readonly subscriptions: readonly SubscriptionOption[];
  readonly credit: { readonly messages: number; readonly bytes: number };
  readonly token: string;
  readonly healthUrl: string;
  readonly isHealthy: () => boolean;
  readonly concurrency: number;
  readonly onHandlerError: Required<HandlerErrorPolicy>;
  readonly reconnect: Required<ReconnectOptions>;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly publishTimeoutMs: number;
  readonly maxUnsentBytes: number;
  readonly stopTimeoutMs: number;
  readonly tls: IpcClientOptions["tls"];
}

const MIB = 1024 * 1024;

const KNOWN: ReadonlySet<string> = new Set<keyof IpcClientOptions>([
  "app",
  "instance",
  "target",
  "subscriptions",
  "credit",
  "token",
  "healthUrl",
  "isHealthy",
  "concurrency",
  "onHandlerError",
  "reconnect",
  "connectTimeoutMs",
  "requestTimeoutMs",
  "publishTimeoutMs",
  "maxUnsentBytes",
  "stopTimeoutMs",
  "tls",
  "onError",
  "onStateChange",
  "clock",
]);

/** @throws AppError `internal.invalid_argument` naming the option and what it may be */
export function toSettings(options: IpcClientOptions): Settings {
  checkOptions("IpcClient", options);
  for (const name of Object.keys(options)) {
    check(KNOWN.has(name), `IpcClient has no option ${name}; it has ${[...KNOWN].join(", ")}`);
  }
  const { credit, onHandlerError, reconnect } = options;
  const settings: Settings = {
    app: options.app,
    instance: options.instance ?? "",
    target: options.target ?? "localhost:9090",
    subscriptions: options.subscriptions ?? [],
    credit: { messages: credit?.messages ?? 65_536, bytes: credit?.bytes ?? 8 * MIB },
    token: options.token ?? "",
    healthUrl: options.healthUrl ?? "",
    isHealthy: options.isHealthy ?? (() => true),
    concurrency: options.concurrency ?? 64,
    onHandlerError: {
      policy: onHandlerError?.policy ?? "retry",
      maxAttempts: onHandlerError?.maxAttempts ?? 0,
    },
    reconnect: {
      perMinute: reconnect?.perMinute ?? 3,
      maxTries: reconnect?.maxTries ?? 0,
      initialMs: reconnect?.initialMs ?? 1_000,
    },
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 5_000,
    publishTimeoutMs: options.publishTimeoutMs ?? 60_000,
    maxUnsentBytes: options.maxUnsentBytes ?? 8 * MIB,
    stopTimeoutMs: options.stopTimeoutMs ?? 5_000,
    tls: options.tls,
  };
  rule("app", typeof settings.app === "string" && settings.app !== "", "a name");
  for (const name of ["instance", "target", "token", "healthUrl"] as const) {
    rule(name, typeof settings[name] === "string", "a string");
  }
  rule("target", settings.target !== "" && settings.target !== "unix:", "host:port or unix:/path");
  rule("credit.messages", isPositive(settings.credit.messages), "a whole number above 0");
  rule("credit.bytes", isPositive(settings.credit.bytes), "a whole number above 0");
  rule("concurrency", isPositive(settings.concurrency), "a whole number above 0");
  rule("maxUnsentBytes", isPositive(settings.maxUnsentBytes), "a whole number above 0");
  rule("reconnect.perMinute", settings.reconnect.perMinute > 0, "above 0");
  rule("reconnect.maxTries", isPositive(settings.reconnect.maxTries + 1), "a whole number, 0 for never");
  rule("reconnect.initialMs", settings.reconnect.initialMs > 0, "above 0");
  rule("onHandlerError.policy", POLICIES.has(settings.onHandlerError.policy), "retry, skip or stop");
  const { maxAttempts } = settings.onHandlerError;
  rule("onHandlerError.maxAttempts", isPositive(maxAttempts + 1), "a whole number, 0 for never");
  for (const name of ["connectTimeoutMs", "requestTimeoutMs", "publishTimeoutMs", "stopTimeoutMs"] as const) {
    rule(name, isPositive(settings[name]), "a whole number of milliseconds above 0");
  }
  for (const name of ["isHealthy", "onError", "onStateChange"] as const) {
    rule(name, options[name] === undefined || typeof options[name] === "function", "a function");
  }
  rule(
    "tls.ca",
    settings.tls === undefined || settings.tls.ca instanceof Uint8Array,
    "the bytes of a PEM file",
  );
  checkSubscriptions(settings.subscriptions);
  return settings;
}

const POLICIES: ReadonlySet<string> = new Set<HandlerErrorPolicy["policy"]>(["retry", "skip", "stop"]);

function checkSubscriptions(subscriptions: readonly SubscriptionOption[]): void {
  rule("subscriptions", Array.isArray(subscriptions), "an array");
  for (const [i, option] of subscriptions.entries()) {
    const name = `subscriptions[${i}]`;
    const given = typeof option === "string" ? { filter: option } : option;
    rule(name, typeof given === "object" && given !== null, "a filter, or an object with one");
    const {
      filter,
      deviceIds = [],
      kinds: kindWords = [],
      protocols: protocolWords = [],
      ports = [],
    } = given;
    rule(
      name,
      typeof filter === "string" && isTopicFilter(filter),
      `an MQTT filter, not ${JSON.stringify(filter)}`,
    );
    rule(`${name}.deviceIds`, isTexts(deviceIds), "an array of strings");
    rule(`${name}.ports`, isTexts(ports), "an array of strings");
    rule(
      `${name}.kinds`,
      isTexts(kindWords) && kindWords.every((word) => kinds.toWire(word) !== 0),
      KIND_RULE,
    );
    rule(
      `${name}.protocols`,
      isTexts(protocolWords) && protocolWords.every((word) => protocols.toWire(word) !== 0),
      PROTOCOL_RULE,
    );
  }
}

const KIND_RULE = `an array of ${kinds.names.join(", ")}`;
const PROTOCOL_RULE = `an array of ${protocols.names.join(", ")}`;

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isPositive(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

function rule(option: string, good: boolean, what: string): void {
  check(good, `option ${option} of IpcClient must be ${what}`);
}
