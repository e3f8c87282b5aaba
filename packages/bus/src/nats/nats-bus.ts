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
import { createInbox, type NatsConnection, type Status } from "@nats-io/nats-core";
import { connect, type NodeConnectionOptions } from "@nats-io/transport-node";
import type { Bus, MessageHandler, SubscribeOptions, Subscription, Unsubscribe } from "../api.js";
import { busError } from "./errors.js";
import { type Answerer, answer, askMany, Requests } from "./requests.js";
import { LocalHandover } from "./wire/local-handover.js";
import type { WireMessage } from "./wire/message.js";
import { Wire } from "./wire/wire.js";

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
  /** Bytes that may wait in this process to be written; beyond it `publish` returns false. */
  readonly maxWaitingBytes?: number;
}

const DEFAULT_MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** Protocol line around a message, roughly; only the bound depends on it. */
const OVERHEAD_BYTES = 64;
// A server that hangs is noticed after two to three of these.
const PING_INTERVAL_MS = 2_000;
const MAX_PINGS_OUT = 2;
const DIAL_TIMEOUT_MS = 3_000;
const RECONNECT = { initialMs: 50, maxMs: 2_000 };
const FLUSH_DEADLINE_MS = 10_000;
const DRAIN_DEADLINE_MS = 2_000;
const DEFAULT_PORT = 4222;

interface BusSubscription extends SubscribeOptions {
  readonly subject: string;
  readonly onMessage: (message: WireMessage) => void;
  /** Its number on the connection there is. */
  sid: number | undefined;
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
  readonly #maxWaitingBytes: number;
  readonly #local = new LocalHandover();
  readonly #requests = new Requests(this);
  readonly #subscriptions = new Set<BusSubscription>();
  readonly #listeners = new Set<(connected: boolean) => void>();
  readonly #stopping = new AbortController();
  readonly #answerer: Answerer;
  #nc: NatsConnection | undefined;
  #clientUp = false;
  #wire: Wire | undefined;
  #openingWire = false;
  #connected = false;
  #maxPayloadBytes = 1024 * 1024;

  constructor(options: BusOptions) {
    this.#options = options;
    this.instance = options.instance;
    this.service = options.service;
    this.incarnation = randomBytes(6).readUIntBE(0, 6);
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger;
    this.#maxWaitingBytes = options.maxWaitingBytes ?? DEFAULT_MAX_WAITING_BYTES;
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
    // Draining needs an answer of the server; where none comes, closing is all that is left.
    if (this.#connected) {
      const wait = async (): Promise<void> => {
        await Promise.all([this.#wire?.flush(), nc?.drain()]);
      };
      await withDeadline(undefined, DRAIN_DEADLINE_MS, wait).catch(() => undefined);
    }
    this.#wire?.close();
    this.#wire = undefined;
    await nc?.close();
    this.#setConnected(false);
  }

  condition(): ComponentCondition {
    return this.#connected ? { state: "running" } : { state: "degraded", reason: "NATS is away" };
  }

  onConnectionChange(listener: (connected: boolean) => void): Unsubscribe {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  publish(subject: string, data: Uint8Array, reply = ""): boolean {
    if (reply === "" && this.#local.publish(subject, data)) return true;
    return this.#send(subject, data, reply, undefined);
  }

  /** As `publish`, with the id by which JetStream knows a repeated message. */
  publishWithId(subject: string, data: Uint8Array, reply: string, messageId: string): boolean {
    return this.#send(subject, data, reply, { "Nats-Msg-Id": messageId });
  }

  /** As `publish`, with headers; names and values must be fit for a header line. */
  publishWithHeaders(
    subject: string,
    data: Uint8Array,
    fields: Readonly<Record<string, string>>,
    reply = "",
  ): boolean {
    return this.#send(subject, data, reply, fields);
  }

  subscribe(subject: string, handler: MessageHandler, options: SubscribeOptions = {}): Subscription {
    // The subject is decoded from the wire only where it can differ from the one subscribed to.
    const isPattern = subject.includes("*") || subject.includes(">");
    const onMessage = (message: WireMessage): void =>
      handler(message.data, isPattern ? message.subject : subject, message.reply || undefined);
    const subscription = this.subscribeRaw(subject, onMessage, options);
    if (options.only !== true) return subscription;
    const endLocal = this.#local.add(
      subject,
      this.#guarded(subject, (data: Uint8Array) => handler(data, subject, undefined)),
    );
    const end = (): void => {
      endLocal();
      subscription();
    };
    return Object.assign(end, {
      drain: async () => {
        await subscription.drain();
        endLocal();
      },
    });
  }

  /** As `subscribe`, with subject, reply and headers. */
  subscribeRaw(
    subject: string,
    onMessage: (message: WireMessage) => void,
    options: SubscribeOptions = {},
  ): Subscription {
    const subscription: BusSubscription = {
      ...options,
      subject,
      onMessage: this.#guarded(subject, onMessage),
      sid: undefined,
    };
    this.#subscriptions.add(subscription);
    this.#attach(subscription);
    const end = (): void => {
      if (this.#subscriptions.delete(subscription) && subscription.sid !== undefined) {
        this.#wire?.unsubscribe(subscription.sid);
      }
    };
    const drain = async (): Promise<void> => {
      if (!this.#subscriptions.delete(subscription)) return;
      const { sid } = subscription;
      const wire = this.#wire;
      if (sid === undefined || wire === undefined) return;
      // NATS away, or closed meanwhile: then it has ended all the same.
      const limit = { clock: this.clock, what: "the end of a subscription" };
      await withDeadline(undefined, DRAIN_DEADLINE_MS, () => wire.drain(sid), limit).catch(() => undefined);
    };
    return Object.assign(end, { drain });
  }

  /** A subject nobody else listens on. */
  newInbox(): string {
    return createInbox();
  }

  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.#requests.ask(subject, data, timeoutMs);
  }

  /** As `request`, with headers; names and values must be fit for a header line. */
  requestWithHeaders(
    subject: string,
    data: Uint8Array,
    fields: Readonly<Record<string, string>>,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    return this.#requests.ask(subject, data, timeoutMs, fields);
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
      (message) => void answer(this, this.#answerer, message, handler),
      options,
    );
  }

  async flush(): Promise<void> {
    try {
      const options = { clock: this.clock, code: "bus.timeout", what: "a flush to NATS" } as const;
      await withDeadline(undefined, FLUSH_DEADLINE_MS, () => this.#flushBoth(), options);
    } catch (thrown) {
      throw busError(thrown, "flushing to NATS failed");
    }
  }

  async rttMs(): Promise<number> {
    const startMs = this.clock.nowMs();
    await this.flush();
    return this.clock.nowMs() - startMs;
  }

  async #flushBoth(): Promise<void> {
    // The getter throws when NATS is away.
    await Promise.all([this.client.flush(), this.#wire?.flush()]);
  }

  #send(
    subject: string,
    data: Uint8Array,
    reply: string,
    headers: Readonly<Record<string, string>> | undefined,
  ): boolean {
    const wire = this.#wire;
    if (wire === undefined || !this.#connected || data.length > this.#maxPayloadBytes) return false;
    if (wire.waitingBytes + data.length + OVERHEAD_BYTES > this.#maxWaitingBytes) return false;
    wire.publish(subject, data, reply, headers);
    return true;
  }

  #guarded<T>(subject: string, handler: (message: T) => void): (message: T) => void {
    return (message) => {
      try {
        handler(message);
      } catch (thrown) {
        // Nobody above can handle it, and a throw would end the connection's read loop.
        this.logger.error({ err: thrown, subject }, "a message handler failed");
      }
    };
  }

  #attach(subscription: BusSubscription): void {
    const { subject, queue, transient, onMessage } = subscription;
    subscription.sid = this.#wire?.subscribe(subject, queue, (message, isTransient) => {
      onMessage(isTransient && transient !== true ? settled(message) : message);
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
        await this.#adopt(nc);
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

  async #adopt(nc: NatsConnection): Promise<void> {
    this.#nc = nc;
    this.#clientUp = true;
    void this.#watch(nc);
    await this.#openWire();
  }

  /** Keeps one wire beside the client's connection, to the same server. */
  async #openWire(): Promise<void> {
    if (this.#openingWire) return;
    this.#openingWire = true;
    const waits = backoff(RECONNECT);
    const { signal } = this.#stopping;
    try {
      while (!signal.aborted && this.#wire === undefined) {
        const nc = this.#nc;
        if (nc === undefined || !this.#clientUp) return;
        try {
          const wire = await Wire.open(this.#wireOptions(nc.getServer()));
          if (signal.aborted || !this.#clientUp) wire.close();
          else this.#adoptWire(wire, nc);
        } catch {
          // The same server has just answered the client: it goes away, or comes back. The condition says so until then.
          await this.clock.sleep(waits.nextMs(), signal).catch(() => undefined);
        }
      }
    } finally {
      this.#openingWire = false;
    }
  }

  #wireOptions(server: string): Parameters<typeof Wire.open>[0] {
    const { service, instance, credentials } = this.#options;
    const url = new URL(`nats://${server}`);
    const options = {
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: Number(url.port || DEFAULT_PORT),
      name: `${service}/${instance}/batches`,
      credentials:
        credentials === undefined
          ? {}
          : "token" in credentials
            ? { auth_token: credentials.token }
            : { user: credentials.user, pass: credentials.password },
      clock: this.clock,
      pingMs: PING_INTERVAL_MS,
      maxPingsOut: MAX_PINGS_OUT,
      connectMs: DIAL_TIMEOUT_MS,
      onEnd: () => {
        this.#wire = undefined;
        this.#setConnected(false);
        void this.#openWire();
      },
      onRefused: (text: string) => this.logger.error({ refusal: text }, "NATS refused something"),
    };
    return options;
  }

  #adoptWire(wire: Wire, nc: NatsConnection): void {
    this.#wire = wire;
    this.#maxPayloadBytes = Math.min(wire.maxPayloadBytes, nc.info?.max_payload ?? wire.maxPayloadBytes);
    for (const subscription of this.#subscriptions) this.#attach(subscription);
    this.#setConnected(true);
  }

  async #watch(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) this.#onStatus(status);
    this.#clientAway();
    if (this.#stopping.signal.aborted) return;
    // The client gives up only on what it cannot mend by itself; a new one begins from the start.
    this.logger.warn({ err: await nc.closed() }, "the NATS client closed; connecting anew");
    await this.#connect(this.#stopping.signal).catch(() => undefined);
  }

  #onStatus(status: Status): void {
    if (status.type === "disconnect" || status.type === "staleConnection") this.#clientAway();
    else if (status.type === "reconnect") {
      this.#clientUp = true;
      void this.#openWire();
    } else if (status.type === "error") {
      this.logger.warn({ err: status.error }, "NATS reported an error");
    }
  }

  /** Both connections count as one: half a bus would answer requests whose data it cannot send. */
  #clientAway(): void {
    this.#clientUp = false;
    this.#wire?.close();
    this.#wire = undefined;
    this.#setConnected(false);
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    if (connected) this.logger.info({ server: this.#nc?.getServer() }, "connected to NATS");
    else if (!this.#stopping.signal.aborted) this.logger.warn("NATS is away, will reconnect");
    for (const listener of this.#listeners) listener(connected);
  }
}

/** A copy that may be kept: the original lies in a buffer that the next read overwrites. */
function settled(message: WireMessage): WireMessage {
  const { subject, reply, headers } = message;
  return { subject, reply, headers, data: Buffer.from(message.data) };
}

/** The implementation behind a `Bus` of `createBus`. @throws AppError `internal.invalid_argument` for any other. */
export function natsBusOf(bus: Bus): NatsBus {
  if (bus instanceof NatsBus) return bus;
  throw new AppError("internal.invalid_argument", "this bus was not made by createBus");
}
