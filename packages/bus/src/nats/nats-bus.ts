/** The connection to NATS: one client, kept up for ever, whose subscriptions outlive it. */

import { randomBytes } from "node:crypto";
import {
  AppError,
  abortError,
  backoff,
  type Clock,
  type ComponentCondition,
  systemClock,
  withDeadline,
} from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import {
  type Subscription as ClientSubscription,
  createInbox,
  headers,
  type Msg,
  type NatsConnection,
  type Status,
} from "@nats-io/nats-core";
import { connect, type NodeConnectionOptions } from "@nats-io/transport-node";
import type { Bus, MessageHandler, Subscription, Unsubscribe } from "../api.js";
import { busError } from "./errors.js";
import { type Answerer, answer, askMany, askOne } from "./requests.js";
import { UnflushedBytes } from "./unflushed.js";

/** User and password, or a token; left out where NATS asks for none. */
export type BusCredentials =
  | { readonly user: string; readonly password: string }
  | { readonly token: string };

/** `instance` is stable over restarts and unique among the processes of a deployment. */
export interface BusOptions {
  readonly servers: readonly string[];
  readonly instance: string;
  readonly service: string;
  readonly logger: Logger;
  readonly credentials?: BusCredentials;
  readonly clock?: Clock;
  /** Bytes that may wait in this process for the server to read them; beyond it `publish` returns false. */
  readonly maxUnflushedBytes?: number;
}

const DEFAULT_MAX_UNFLUSHED_BYTES = 64 * 1024 * 1024;
/** Protocol line around a message, roughly; only the bound depends on it. */
const OVERHEAD_BYTES = 64;
// A server that hangs is noticed after two to three of these.
const PING_INTERVAL_MS = 2_000;
const MAX_PINGS_OUT = 2;
const DIAL_TIMEOUT_MS = 3_000;
const RECONNECT = { initialMs: 50, maxMs: 2_000 };
const FLUSH_DEADLINE_MS = 10_000;
const DRAIN_DEADLINE_MS = 2_000;

interface BusSubscription {
  readonly subject: string;
  readonly queue: string | undefined;
  readonly onMessage: (message: Msg) => void;
  live: ClientSubscription | undefined;
}

/** A bus over one NATS connection. Does nothing until started; subscriptions made before are kept. */
export function createBus(options: BusOptions): Bus {
  return new NatsBus(options);
}

/** What the other files of this folder need beyond `Bus`. */
export class NatsBus implements Bus {
  readonly name = "bus";
  readonly instance: string;
  readonly service: string;
  readonly incarnation: number;
  readonly clock: Clock;
  readonly logger: Logger;

  readonly #options: BusOptions;
  readonly #maxUnflushedBytes: number;
  readonly #unflushed = new UnflushedBytes();
  readonly #subscriptions = new Set<BusSubscription>();
  readonly #listeners = new Set<(connected: boolean) => void>();
  readonly #stopping = new AbortController();
  readonly #answerer: Answerer;
  #nc: NatsConnection | undefined;
  #connected = false;
  #maxPayloadBytes = 1024 * 1024;

  constructor(options: BusOptions) {
    this.#options = options;
    this.instance = options.instance;
    this.service = options.service;
    this.incarnation = randomBytes(6).readUIntBE(0, 6);
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger;
    this.#maxUnflushedBytes = options.maxUnflushedBytes ?? DEFAULT_MAX_UNFLUSHED_BYTES;
    this.#answerer = { logger: options.logger, running: 0 };
  }

  get connected(): boolean {
    return this.#connected;
  }

  get maxPayloadBytes(): number {
    return this.#maxPayloadBytes;
  }

  /** The live client. @throws AppError `bus.disconnected` */
  get client(): NatsConnection {
    if (this.#nc !== undefined && this.#connected) return this.#nc;
    throw new AppError("bus.disconnected", `no connection to NATS at ${this.#options.servers.join(", ")}`);
  }

  /** Tries until NATS is there or the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#connect(signal);
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort(new AppError("operation.aborted", "the bus was asked to stop"));
    const nc = this.#nc;
    if (nc === undefined || nc.isClosed()) return;
    // Draining needs an answer of the server; where none comes, closing is all that is left.
    if (this.#connected)
      await withDeadline(undefined, DRAIN_DEADLINE_MS, () => nc.drain()).catch(() => undefined);
    await nc.close();
    this.#setConnected(false);
  }

  condition(): ComponentCondition {
    return this.#connected ? { state: "running" } : { state: "degraded", reason: "NATS is away" };
  }

  onConnectionChange(listener: (connected: boolean) => void): Unsubscribe {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publish(subject: string, data: Uint8Array, reply?: string): boolean {
    return this.#send(subject, data, reply === undefined ? undefined : { reply });
  }

  /** As `publish`, with the id by which JetStream knows a repeated message. */
  publishWithId(subject: string, data: Uint8Array, reply: string, messageId: string): boolean {
    const head = headers();
    head.set("Nats-Msg-Id", messageId);
    return this.#send(subject, data, { reply, headers: head });
  }

  /** As `publish`, with headers; names and values must be fit for a header line. */
  publishWithHeaders(subject: string, data: Uint8Array, fields: Readonly<Record<string, string>>): boolean {
    const head = headers();
    for (const [name, value] of Object.entries(fields)) head.set(name, value);
    return this.#send(subject, data, { headers: head });
  }

  subscribe(subject: string, handler: MessageHandler, options: { queue?: string } = {}): Subscription {
    // The subject is decoded from the wire only where it can differ from the one subscribed to.
    const isPattern = subject.includes("*") || subject.includes(">");
    return this.subscribeRaw(
      subject,
      (message) =>
        handler(
          message.data,
          isPattern ? message.subject : subject,
          message.reply === "" ? undefined : message.reply,
        ),
      options.queue,
    );
  }

  /** As `subscribe`, with the client's own message: for those who look at headers. */
  subscribeRaw(subject: string, onMessage: (message: Msg) => void, queue?: string): Subscription {
    const guarded = (message: Msg): void => {
      try {
        onMessage(message);
      } catch (thrown) {
        // Nobody above can handle it, and a throw would end the client's read loop.
        this.logger.error({ err: thrown, subject }, "a message handler failed");
      }
    };
    const subscription: BusSubscription = { subject, queue, onMessage: guarded, live: undefined };
    this.#subscriptions.add(subscription);
    this.#attach(subscription);
    const end = (): void => {
      if (this.#subscriptions.delete(subscription)) subscription.live?.unsubscribe();
    };
    const drain = async (): Promise<void> => {
      if (!this.#subscriptions.delete(subscription)) return;
      const { live } = subscription;
      if (live === undefined || live.isClosed()) return;
      // NATS away, or closed meanwhile: then it has ended all the same.
      const options = { clock: this.clock, what: "the end of a subscription" };
      await withDeadline(undefined, DRAIN_DEADLINE_MS, () => live.drain(), options).catch(() => undefined);
    };
    return Object.assign(end, { drain });
  }

  /** A subject nobody else listens on. */
  newInbox(): string {
    return createInbox();
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return askOne(this, subject, data, timeoutMs);
  }

  requestMany(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs: number; maxAnswers?: number },
  ): Promise<Uint8Array[]> {
    return askMany(this, subject, data, options);
  }

  serve(
    subject: string,
    handler: (data: Uint8Array, subject: string) => Promise<Uint8Array> | Uint8Array,
    options: { queue?: string } = {},
  ): Subscription {
    return this.subscribeRaw(
      subject,
      (message) => void answer(this.#answerer, message, handler),
      options.queue,
    );
  }

  async flush(): Promise<void> {
    try {
      const options = { clock: this.clock, code: "bus.timeout", what: "a flush to NATS" } as const;
      await withDeadline(undefined, FLUSH_DEADLINE_MS, () => this.client.flush(), options);
    } catch (thrown) {
      throw busError(thrown, "flushing to NATS failed");
    }
  }

  async rttMs(): Promise<number> {
    const startMs = this.clock.nowMs();
    await this.flush();
    return this.clock.nowMs() - startMs;
  }

  #send(subject: string, data: Uint8Array, options: Parameters<NatsConnection["publish"]>[2]): boolean {
    const nc = this.#nc;
    if (nc === undefined || !this.#connected || data.length > this.#maxPayloadBytes) return false;
    const bytes = data.length + OVERHEAD_BYTES;
    if (this.#unflushed.bytes + bytes > this.#maxUnflushedBytes) return false;
    try {
      nc.publish(subject, data, options);
    } catch (thrown) {
      // Closed in this very turn; anything else is a bad argument and ours to mend.
      if (busError(thrown, "").code === "bus.disconnected") return false;
      throw busError(thrown, `cannot publish on ${subject}`);
    }
    this.#unflushed.add(bytes, () => nc.flush());
    return true;
  }

  #attach(subscription: BusSubscription): void {
    const nc = this.#nc;
    if (nc === undefined || nc.isClosed()) return;
    subscription.live = nc.subscribe(subscription.subject, {
      ...(subscription.queue === undefined ? {} : { queue: subscription.queue }),
      callback: (error, message) => {
        if (error === null) subscription.onMessage(message);
        else this.logger.error({ err: error, subject: subscription.subject }, "a subscription was refused");
      },
    });
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const waits = backoff(RECONNECT);
    for (;;) {
      if (signal.aborted) throw abortError(signal);
      if (this.#stopping.signal.aborted) throw abortError(this.#stopping.signal);
      try {
        const nc = await connect(this.#clientOptions());
        if (this.#stopping.signal.aborted) {
          await nc.close();
          continue;
        }
        this.#adopt(nc);
        return;
      } catch {
        // Any reason: NATS is not there yet, or does not let us in yet. The condition says so until it does.
        await this.clock.sleep(waits.nextMs(), signal);
      }
    }
  }

  #clientOptions(): NodeConnectionOptions {
    const { servers, instance, service, credentials } = this.#options;
    const waits = backoff(RECONNECT);
    return {
      servers: [...servers],
      name: `${service}/${instance}`,
      reconnect: true,
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => waits.nextMs(),
      ignoreAuthErrorAbort: true,
      noAsyncTraces: true,
      pingInterval: PING_INTERVAL_MS,
      maxPingOut: MAX_PINGS_OUT,
      timeout: DIAL_TIMEOUT_MS,
      ...(credentials === undefined
        ? {}
        : "token" in credentials
          ? { token: credentials.token }
          : { user: credentials.user, pass: credentials.password }),
    };
  }

  #adopt(nc: NatsConnection): void {
    this.#nc = nc;
    this.#maxPayloadBytes = nc.info?.max_payload ?? this.#maxPayloadBytes;
    for (const subscription of this.#subscriptions) this.#attach(subscription);
    this.#setConnected(true);
    void this.#watch(nc);
  }

  async #watch(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) this.#onStatus(nc, status);
    this.#setConnected(false);
    if (this.#stopping.signal.aborted) return;
    // The client gives up only on what it cannot mend by itself; a new one begins from the start.
    this.logger.warn({ err: await nc.closed() }, "the NATS client closed; connecting anew");
    await this.#connect(this.#stopping.signal).catch(() => undefined);
  }

  #onStatus(nc: NatsConnection, status: Status): void {
    if (status.type === "disconnect" || status.type === "staleConnection") this.#setConnected(false);
    else if (status.type === "reconnect") {
      this.#maxPayloadBytes = nc.info?.max_payload ?? this.#maxPayloadBytes;
      this.#setConnected(true);
    } else if (status.type === "error") {
      this.logger.warn({ err: status.error }, "NATS reported an error");
    }
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.#unflushed.reset();
    if (connected) this.logger.info({ server: this.#nc?.getServer() }, "connected to NATS");
    else if (!this.#stopping.signal.aborted) this.logger.warn("NATS is away, will reconnect");
    for (const listener of this.#listeners) listener(connected);
  }
}

/** The implementation behind a `Bus` of `createBus`. @throws AppError `internal.invalid_argument` for any other. */
export function natsBusOf(bus: Bus): NatsBus {
  if (bus instanceof NatsBus) return bus;
  throw new AppError("internal.invalid_argument", "this bus was not made by createBus");
}
