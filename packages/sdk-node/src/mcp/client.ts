/** A device's client: keeps one session with the platform, over any loss of connection, for as long as it runs. */
import { randomBytes } from "node:crypto";
import { encodeMcpFrame, type McpMessage, type McpMessageInit } from "@myelin/contract";
import {
  AppError,
  abortError,
  type Backoff,
  backoff,
  type Component,
  type ComponentCondition,
  deadline,
} from "@myelin/kernel";
import { check, checkFunction, checkOptions, checkSignal, checkText, notify } from "../check.js";
import { type PayloadInput, toPayload } from "../payload.js";
import { Connection, type ConnectionEvents } from "./connection.js";
import { EventDelivery } from "./event-delivery.js";
import { Inbox, type McpMessageCallback } from "./inbox.js";
import {
  type McpClientOptions,
  type McpResumeState,
  type McpSendOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./options.js";

/**
 * `connecting`: never connected yet. `normal`: the server answers. `overdue`: it has missed a pong. `reconnecting`: the connection is
 * gone, the next attempt is on its way. `stopped`: not started, or stopped.
 */
export type McpClientState = "stopped" | "connecting" | "normal" | "overdue" | "reconnecting";

const EMPTY_TOKEN = new Uint8Array(0);

/**
 * Connects a device over TCP, UDP or WebSocket. The constructor does nothing; `start` connects and from then on the client
 * reconnects by itself, with growing waits and without giving up, and goes on with its session where the server still has it:
 * events that were not acknowledged are sent again with the ids and sequences they had.
 */
export class McpClient implements Component {
  readonly name = "mcp-client";
  readonly #options: ResolvedOptions;
  readonly #events: EventDelivery;
  readonly #inbox: Inbox;
  readonly #backoff: Backoff;
  readonly #idPrefix = randomBytes(9).toString("base64url");
  readonly #stateListeners = new Set<(state: McpClientState) => void>();
  readonly #errorListeners = new Set<(error: AppError) => void>();
  #state: McpClientState = "stopped";
  #connection: Connection | undefined;
  #stop: AbortController | undefined;
  #running: Promise<void> = Promise.resolve();
  #resumeToken: Uint8Array;
  #lastReceived: number;
  #lastSequence: number;
  #lastError: AppError | undefined;
  /** One promise for all who wait until the connection takes more; settled when it does or ends. */
  #drain: { readonly promise: Promise<boolean>; readonly settle: (drained: boolean) => void } | undefined;

  /** @throws AppError `config.invalid` for options that make no sense */
  constructor(options: McpClientOptions) {
    this.#options = resolveOptions(options);
    this.#events = new EventDelivery(this.#options);
    this.#backoff = backoff(this.#options.backoff);
    this.#resumeToken = options.resume?.token ?? EMPTY_TOKEN;
    this.#lastReceived = options.resume?.lastReceivedSequence ?? 0;
    this.#lastSequence = options.resume?.lastSentSequence ?? 0;
    this.#inbox = new Inbox(this.#options.maxIncoming, {
      answer: (message, error) => this.#answer(message, error),
      pause: (paused) => this.#connection?.pause(paused),
    });
  }

  get state(): McpClientState {
    return this.#state;
  }

  /** Events that wait for their acknowledgement. */
  get unacknowledged(): number {
    return this.#events.size;
  }

  /** What to keep over a restart of the device; undefined before the first connection. */
  get resumeState(): McpResumeState | undefined {
    if (this.#resumeToken.length === 0) return undefined;
    return {
      token: this.#resumeToken,
      lastReceivedSequence: this.#lastReceived,
      lastSentSequence: this.#lastSequence,
    };
  }

  condition(): ComponentCondition {
    if (this.#state === "normal") return { state: "running" };
    return { state: "degraded", reason: this.#lastError?.message ?? this.#state };
  }

  /** Calls the listener at each change of the state; returns what takes it off again. */
  onState(listener: (state: McpClientState) => void): () => void {
    checkFunction("onState", listener);
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  /** Calls the listener with what ended a connection or kept one from being made, and with errors that the server reports. */
  onError(listener: (error: AppError) => void): () => void {
    checkFunction("onError", listener);
    this.#errorListeners.add(listener);
    return () => this.#errorListeners.delete(listener);
  }

  /**
   * Hands every message of the server to `callback`, one at a time and in order. A message is acknowledged when the callback, or
   * its promise, is done; what it throws is told to the server as the refusal of that message. Use this or `messages`.
   */
  onMessage(callback: McpMessageCallback | undefined): void {
    if (callback !== undefined) checkFunction("onMessage", callback);
    this.#inbox.deliverTo(callback);
  }

  /** The messages of the server; each is acknowledged when the next one is asked for. Ends when the client stops. */
  messages(signal: AbortSignal = new AbortController().signal): AsyncGenerator<McpMessage, void, undefined> {
    checkSignal("messages", signal);
    return this.#inbox.iterate(signal);
  }

  /**
   * Resolves at the first welcome. Trouble on the way there is retried until the signal aborts, without one for as long as it takes.
   * The signal ends the start alone: once connected, `stop` is the way out.
   * @throws AppError what the server refused the device with, when trying again cannot help; the signal's reason
   */
  async start(signal: AbortSignal = new AbortController().signal): Promise<void> {
    checkSignal("start", signal);
    if (this.#stop !== undefined) throw new AppError("lifecycle.bad_state", "an MCP client is started once");
    const stop = new AbortController();
    this.#stop = stop;
    const onAbort = (): void => stop.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#setState("connecting");
    try {
      await new Promise<void>((resolve, reject) => {
        this.#running = this.#run(stop.signal, resolve, reject);
      });
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Says goodbye. Events that are not acknowledged by then are rejected with `operation.aborted`. */
  async stop(): Promise<void> {
    if (this.#state === "stopped" && this.#stop === undefined) return;
    this.#stop?.abort(new AppError("operation.aborted", "the MCP client was stopped"));
    await this.#running;
    this.#inbox.close();
    this.#events.rejectAll(
      new AppError("operation.aborted", "the client was stopped before the event was acknowledged"),
    );
    this.#setState("stopped");
  }

  /**
   * Sends one message of `type` (its path). Resolves when the platform has stored it (lane `event`), or when the system has taken
   * it (`telemetry`). Events are kept while there is no connection, telemetry is not. The payload is copied; an object is sent as
   * JSON, with that content type unless the options name one.
   * @throws AppError `queue.full` when too much is under way; `rpc.unavailable` for telemetry without a connection;
   * `contract.frame_too_large` for more than the server or a datagram takes; `contract.bad_frame` for values the wire cannot
   * carry; `operation.timeout` for an event whose TTL has passed here; `operation.aborted` when the client stops;
   * `internal.invalid_argument`; what the platform refused the event with
   */
  async send(type: string, payload: PayloadInput, options: McpSendOptions = {}): Promise<void> {
    checkText("send", "the message type", type);
    check(payload !== undefined, `send: the message ${type} has no payload`);
    checkOptions("send", options);
    check(
      options.lane === undefined || options.lane === "telemetry" || options.lane === "event",
      `send: the lane is telemetry or event, not ${options.lane}`,
    );
    if (this.#stop === undefined || this.#stop.signal.aborted) {
      throw new AppError("lifecycle.bad_state", "the MCP client does not run");
    }
    const sequence = this.#lastSequence + 1;
    const message = this.#message(type, payload, sequence, options);
    const frame = encodeMcpFrame(message);
    const refusal = this.#connection?.tooLarge(frame);
    if (refusal !== undefined) throw refusal;
    if (message.lane === "event") {
      const stored = this.#events.send(message, frame);
      this.#lastSequence = sequence;
      await stored;
    } else await this.#sendTelemetry(sequence, frame);
  }

  #message(
    type: string,
    payload: PayloadInput,
    sequence: number,
    options: McpSendOptions,
  ): McpMessageInit & { readonly id: string; readonly sequence: number } {
    const { clock } = this.#options;
    const sourceTimeUs = options.sourceTimeUs ?? (options.ttlMs === undefined ? undefined : clock.wallUs());
    const body = toPayload(payload);
    return {
      ...options,
      type,
      // Only an object has to say what it was made into.
      contentType: options.contentType ?? (body.json ? body.contentType : undefined),
      payload: payload instanceof Uint8Array ? Buffer.from(payload) : body.payload,
      sequence,
      sourceTimeUs,
      lane: options.lane ?? "telemetry",
      id: options.id ?? `${this.#idPrefix}-${sequence.toString(36)}`,
    };
  }

  async #sendTelemetry(sequence: number, frame: Buffer): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) {
      throw new AppError("rpc.unavailable", `no connection to ${this.#options.url.host}`);
    }
    if (connection.bufferedBytes + frame.length > this.#options.maxBufferedBytes) {
      throw new AppError("queue.full", `${connection.bufferedBytes} bytes are not taken yet`);
    }
    this.#lastSequence = sequence;
    if (connection.sendFrame(frame)) return;
    if (!(await this.#drained())) {
      throw new AppError("rpc.unavailable", `lost the connection to ${this.#options.url.host} while sending`);
    }
  }

  async #run(signal: AbortSignal, onReady: () => void, onRefused: (error: AppError) => void): Promise<void> {
    let ready = false;
    while (!signal.aborted) {
      let reason: AppError;
      try {
        const connection = await this.#connect(signal);
        ready = true;
        onReady();
        reason = await this.#serve(connection, signal);
      } catch (error) {
        reason = AppError.from(error);
        if (!ready && !reason.retryable && !signal.aborted) {
          onRefused(reason);
          return;
        }
      } finally {
        this.#disconnected();
      }
      if (signal.aborted) break;
      this.#report(reason);
      if (ready) this.#setState("reconnecting");
      try {
        await this.#options.clock.sleep(this.#backoff.nextMs(), signal);
      } catch {
        // Stopped while waiting: the loop's condition says so too.
        break;
      }
    }
    onRefused(abortError(signal));
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const { clock, connectTimeoutMs, url } = this.#options;
    using limit = deadline(signal, connectTimeoutMs, { clock, what: `connecting to ${url.host}` });
    return await Connection.open(this.#options, this.resumeState, this.#connectionEvents(), limit.signal);
  }

  #connectionEvents(): ConnectionEvents {
    return {
      onWelcome: (connection) => this.#welcomed(connection),
      onAck: (ids, sequence) => this.#events.acknowledged(ids, sequence),
      onRefused: (id, error) => {
        if (id === "" || !this.#events.refused(id, error)) this.#report(error);
      },
      onData: (message) => this.#inbox.take(message),
      onMisses: (misses) => this.#setState(misses === 0 ? "normal" : "overdue"),
      onDrain: () => {
        this.#drain?.settle(true);
        this.#drain = undefined;
        this.#events.drained();
      },
    };
  }

  #welcomed(connection: Connection): void {
    const { welcome } = connection;
    this.#connection = connection;
    this.#resumeToken = Uint8Array.from(welcome.resumeToken);
    if (!welcome.resumed) {
      this.#lastReceived = 0;
      this.#inbox.newSession();
    }
    this.#lastError = undefined;
    this.#backoff.reset();
    this.#setState("normal");
    this.#inbox.connected();
    this.#events.connected(connection);
  }

  /** Lives as long as the connection; resolves with what ended it. */
  async #serve(connection: Connection, signal: AbortSignal): Promise<AppError> {
    const onAbort = (): void => void connection.leave("the device stops");
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await connection.closed;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #disconnected(): void {
    this.#connection = undefined;
    this.#events.disconnected();
    this.#drain?.settle(false);
    this.#drain = undefined;
  }

  #answer(message: McpMessage, error: AppError | undefined): void {
    const connection = this.#connection;
    if (error !== undefined) this.#report(error);
    if (connection === undefined) return;
    if (connection.reliable) this.#lastReceived = Math.max(this.#lastReceived, message.sequence);
    if (error !== undefined) {
      const { code, message: text, retryable } = error;
      connection.send({ control: { kind: "error", id: message.id, code, message: text, retryable } });
    } else if (message.id !== "") connection.send({ control: { kind: "ack", ids: [message.id] } });
    else if (message.sequence > 0) connection.send({ control: { kind: "ack", sequence: message.sequence } });
  }

  #drained(): Promise<boolean> {
    if (this.#drain === undefined) {
      const { promise, resolve } = Promise.withResolvers<boolean>();
      this.#drain = { promise, settle: resolve };
    }
    return this.#drain.promise;
  }

  #report(error: AppError): void {
    this.#lastError = error;
    for (const listener of this.#errorListeners) notify("a listener of onError", listener, error);
  }

  #setState(state: McpClientState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#stateListeners) notify("a listener of onState", listener, state);
  }
}
