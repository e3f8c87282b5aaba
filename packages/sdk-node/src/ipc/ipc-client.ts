/** The client of an application: receives, acknowledges, publishes, asks and answers. */
import { fromAppErrorMessage } from "@myelin/contract";
import { AppError, abortError, type Clock, type Component, systemClock } from "@myelin/kernel";
import { check, checkFunction, checkOptions, checkSignal, checkText, notify } from "../check.js";
import { type PayloadInput, toPayload } from "../payload.js";
import type { AckTracker } from "./ack-tracker.js";
import { BatchConsumer, type BatchHandler } from "./batch-consumer.js";
import { BridgeLink } from "./bridge-link.js";
import { type ClientHealth, checkCall, type RequestOptions, type SendOptions } from "./call-options.js";
import { Calls, type Reply, type RequestHandler } from "./calls.js";
import { type Connection, type Frame, toSubscription } from "./connection.js";
import type { Consumer, ConsumerCounters, ConsumerPorts, Work } from "./consumer.js";
import { DeviceCommands } from "./device-commands.js";
import { Heads } from "./heads.js";
import type { Message } from "./message.js";
import { MessageBatch } from "./message-batch.js";
import { MessageConsumer, type MessageHandler } from "./message-consumer.js";
import { MessageStream } from "./message-stream.js";
import { type ClientState, type IpcClientOptions, type Settings, toSettings } from "./options.js";
import { Outbox, type OutgoingMessage } from "./outbox.js";
import { sendStates } from "./words.js";

type Style = "callback" | "batch" | "stream";

/**
 * One app instance. Choose one way to consume (`onMessage`, `onBatch` or `messages`) before `start`; everything else works at
 * any time. Nothing is connected before `start`.
 */
export class IpcClient implements Component {
  readonly name = "ipc-client";
  /** Tells devices what to do, as their profiles say, and follows what becomes of it. */
  readonly commands = new DeviceCommands((target, payload, options) =>
    this.request(target, payload, options),
  );
  #settings: Settings;
  #options: IpcClientOptions;
  readonly #clock: Clock;
  readonly #heads = new Heads();
  readonly #outbox: Outbox;
  readonly #calls: Calls;
  readonly #stream = new MessageStream();
  readonly #counters: ConsumerCounters = {
    received: 0,
    handled: 0,
    handlerErrors: 0,
    skipped: 0,
    malformed: 0,
  };
  readonly #aborter = new AbortController();
  readonly #link: BridgeLink;
  #consumer: Consumer | undefined;
  #style: Style | undefined;
  /** Batches that came before a way to consume was chosen; bounded by the credit. */
  #parked: Work[] = [];
  #state: ClientState = "idle";
  #running: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  /** @throws AppError `internal.invalid_argument` for options that cannot be */
  constructor(options: IpcClientOptions) {
    this.#settings = toSettings(options);
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const onError = (error: AppError): void => this.#report(error);
    this.#outbox = new Outbox({
      clock: this.#clock,
      maxUnsentBytes: () => this.#settings.maxUnsentBytes,
      timeoutMs: () => this.#settings.publishTimeoutMs,
      onError,
    });
    this.#calls = new Calls({
      clock: this.#clock,
      connection: (timeoutMs) => this.#connectedWithin(timeoutMs),
      onError,
    });
    this.#link = new BridgeLink({
      clock: this.#clock,
      settings: () => this.#settings,
      serves: () => this.#calls.serves,
      batch: (data, acks, gone) => this.#received(data, acks, gone),
      frame: (frame, connection) => this.#onFrame(frame, connection),
      drained: () => this.#outbox.drained(),
      up: (connection) => this.#outbox.connected(connection),
      down: (error) => this.#down(error),
      idle: () => this.#idle,
      state: (state) => this.#set(state),
      onError,
    });
  }

  get state(): ClientState {
    return this.#state;
  }

  /**
   * Consumes by callback, one call per message. Messages of one device are handled one after the other, others at once up to
   * `concurrency`. A message is acknowledged when the handler has returned or its promise has resolved.
   */
  onMessage(handler: MessageHandler): this {
    checkFunction("onMessage", handler);
    this.#choose("callback", new MessageConsumer(handler, this.#ports()));
    return this;
  }

  /** Consumes by batch: the fast way. See `BatchHandler` and `MessageBatch`. */
  onBatch(handler: BatchHandler): this {
    checkFunction("onBatch", handler);
    this.#choose("batch", new BatchConsumer(handler, this.#ports()));
    return this;
  }

  /** Consumes by `for await`; a message is acknowledged when the loop asks for the next. Ends when the client stops. */
  messages(): AsyncIterableIterator<Message> {
    if (this.#style !== "stream") {
      const one: ConsumerPorts = { ...this.#ports(), concurrency: () => 1 };
      this.#choose("stream", new MessageConsumer(this.#stream.handle, one));
    }
    return this.#stream.messages();
  }

  /** Answers requests `app:<this app>/<name>`. Added after the start, it takes effect by a short reconnection. */
  serve(name: string, handler: RequestHandler): this {
    checkText("serve", "the name", name);
    checkFunction("serve", handler);
    const known = this.#calls.serves.includes(name);
    this.#calls.serve(name, handler);
    if (!known && this.#running !== undefined) void this.#link.replace();
    return this;
  }

  /**
   * Connects and stays connected. Resolves with the first connection; without a signal it waits for one for as long as it takes.
   * The signal ends the start alone: once connected, `stop` is the way out.
   * @throws AppError when `reconnect.maxTries` are used up, when the bridge refuses for a reason that waiting does not mend
   *   (version, token, names), or the signal's reason; the client is stopped then
   */
  async start(signal?: AbortSignal): Promise<void> {
    checkSignal("start", signal);
    if (this.#running !== undefined || this.#stopping !== undefined) {
      throw new AppError("lifecycle.bad_state", "an IpcClient starts once; make a new one");
    }
    if (signal?.aborted) throw abortError(signal);
    const onAbort = (): void => void this.stop();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await this.#run();
    } catch (error) {
      throw signal?.aborted ? abortError(signal) : error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Resolves with the first connection, rejects when the link ends before; `#running` ends with the link and never rejects. */
  #run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#link.whenUp(() => resolve());
      this.#running = this.#link.run().then(
        () => reject(stopped()),
        (thrown: unknown) => {
          const error = AppError.from(thrown);
          this.#giveUp(error);
          reject(error);
        },
      );
    });
  }

  /** The same as `start`. */
  connect(signal?: AbortSignal): Promise<void> {
    return this.start(signal);
  }

  /**
   * Takes no more work, waits for handlers, acknowledgements and publishes (at most `stopTimeoutMs`), then closes. What was not
   * acknowledged by then goes to another instance. Safe twice and before `start`.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopOnce();
    return this.#stopping;
  }

  /**
   * Changes options while running. Subscriptions, credit, concurrency and policies change at once; target, names, token, TLS and
   * health address by connecting anew after the work in hand is done: it resolves with the new connection. Nothing on the way is
   * lost. Of `credit`, `reconnect` and `onHandlerError` the parts that are not named stay as they are.
   * @throws AppError `internal.invalid_argument`; nothing has changed then
   */
  async reconfigure(change: Partial<IpcClientOptions>): Promise<void> {
    checkOptions("reconfigure", change);
    check(change.clock === undefined, "reconfigure: the clock cannot be changed");
    const before = this.#settings;
    const next = toSettings({
      ...before,
      ...change,
      credit: { ...before.credit, ...change.credit },
      reconnect: { ...before.reconnect, ...change.reconnect },
      onHandlerError: { ...before.onHandlerError, ...change.onHandlerError },
    } as IpcClientOptions);
    this.#settings = next;
    this.#options = { ...this.#options, ...change };
    if (change.reconnect !== undefined) this.#link.reschedule();
    if (this.#running === undefined) return;
    const anew = (["app", "instance", "target", "token", "healthUrl", "tls"] as const).some(
      (key) => before[key] !== next[key],
    );
    if (anew) {
      await this.#link.replace();
      return;
    }
    if (change.subscriptions !== undefined) {
      const subscriptions = next.subscriptions.map(toSubscription);
      this.#link.current?.send({ $case: "subscribe", value: { subscriptions } });
    }
    if (change.credit !== undefined) {
      const { messages, bytes } = next.credit;
      this.#link.current?.send({ $case: "credit", value: { envelopes: messages, bytes } });
    }
  }

  /**
   * Publishes on the telemetry lane: sent at the end of this turn of the event loop. False when it was dropped, because there is
   * no connection or too much waits to be sent; `writable` tells when there is room.
   * @throws AppError `contract.bad_envelope`, `internal.invalid_argument`
   */
  publish(message: OutgoingMessage): boolean {
    return this.#outbox.publish(message);
  }

  /** Resolves when `publish` has room again. @throws AppError `operation.aborted` when the client stops */
  writable(): Promise<void> {
    return this.#outbox.room(this.#aborter.signal);
  }

  /**
   * Publishes on the event lane and resolves when all are stored. Kept and sent again over reconnections; doubles that this makes
   * are removed by id.
   * @throws AppError `queue.full` (nothing was sent), `limit.rate`, `bus.stream_full`, `contract.bad_envelope`, or
   *   `operation.timeout`: then some may have been stored, and messages with an `id` of your own can be published again safely
   */
  publishEvents(messages: readonly OutgoingMessage[]): Promise<void> {
    if (this.#stopping !== undefined) return Promise.reject(stopped());
    return this.#outbox.publishEvents(messages);
  }

  /** One event; see `publishEvents`. */
  publishEvent(message: OutgoingMessage): Promise<void> {
    return this.publishEvents([message]);
  }

  /**
   * Sends a message to a connected device. Resolves with `written`, or with `acknowledged` when `waitForDevice` is set.
   * @throws AppError `device.not_connected`, `request.timeout`, `partition.not_owned`, `operation.circuit_open`, `rpc.unavailable`,
   *   `contract.frame_too_large`, `internal.invalid_argument`
   */
  async send(
    deviceId: string,
    path: string,
    payload: PayloadInput,
    options: SendOptions = {},
  ): Promise<"written" | "acknowledged"> {
    checkText("send", "the device id", deviceId);
    checkText("send", "the path", path);
    check(payload !== undefined, `send: the message for ${deviceId} has no payload`);
    checkCall("send", options);
    const body = toPayload(payload);
    const state = await this.#calls.send({
      tenant: options.tenant ?? "",
      deviceId,
      path,
      payload: body.payload,
      contentType: options.contentType ?? (body.json ? body.contentType : ""),
      waitForDevice: options.waitForDevice ?? false,
      timeoutMs: options.timeoutMs ?? this.#settings.requestTimeoutMs,
      traceparent: options.traceparent ?? "",
    });
    return sendStates.fromWire(state) === "acknowledged" ? "acknowledged" : "written";
  }

  /**
   * Asks another app (`app:<name>/<method>`) or the platform (`platform/<method>`).
   * @throws AppError `request.timeout`, `request.no_responder`, `operation.circuit_open`, `rpc.unavailable`, or the other app's error
   */
  async request(target: string, payload: PayloadInput = "", options: RequestOptions = {}): Promise<Reply> {
    check(
      typeof target === "string" && /^(?:app:[^/]+|platform)\/./s.test(target),
      `request: the target is app:<name>/<method> or platform/<method>, not ${JSON.stringify(target)}`,
    );
    checkCall("request", options);
    const body = toPayload(payload);
    return await this.#calls.request({
      target,
      payload: body.payload,
      contentType: options.contentType ?? body.contentType,
      timeoutMs: options.timeoutMs ?? this.#settings.requestTimeoutMs,
      traceparent: options.traceparent ?? "",
    });
  }

  /** A report for the app's own health page. */
  health(): ClientHealth {
    return {
      state: this.#state,
      healthy: this.#state === "connected" && this.#isHealthy(),
      instance: this.#link.current?.instance ?? "",
      bridge: this.#link.current?.bridge ?? "",
      connects: this.#link.connects,
      failedTries: this.#link.failedTries,
      lastError: this.#link.lastError,
      openBatches: this.#link.acks?.open ?? 0,
      running: this.#consumer?.running ?? 0,
      openCalls: this.#calls.open,
      openCircuits: this.#calls.openCircuits,
      ...this.#counters,
      ...this.#outbox.counters,
    };
  }

  #ports(): ConsumerPorts {
    return {
      clock: this.#clock,
      counters: this.#counters,
      concurrency: () => this.#settings.concurrency,
      policy: () => this.#settings.onHandlerError,
      onError: (error, message) => this.#report(error, message),
      halt: (error) => {
        this.#link.lastError = error;
        void this.stop();
      },
    };
  }

  #choose(style: Style, consumer: Consumer): void {
    if (this.#consumer !== undefined) {
      throw new AppError("lifecycle.bad_state", `this client consumes by ${this.#style} already`);
    }
    this.#style = style;
    this.#consumer = consumer;
    for (const work of this.#parked.splice(0)) consumer.push(work);
  }

  #received(data: Buffer, acks: AckTracker, gone: () => boolean): void {
    const batch = new MessageBatch(data, this.#heads);
    this.#counters.received += batch.count;
    const work: Work = { batch, ticket: acks.take(batch.hop), gone };
    if (this.#consumer === undefined) this.#parked.push(work);
    else this.#consumer.push(work);
  }

  #onFrame(frame: Frame, connection: Connection): void {
    switch (frame.$case) {
      case "publishResult":
        this.#outbox.result(frame.value);
        break;
      case "response":
        this.#calls.response(frame.value);
        break;
      case "sendResult":
        this.#calls.sendResult(frame.value);
        break;
      case "request":
        void this.#calls.incoming(frame.value, connection);
        break;
      case "ping": {
        const { nonce } = frame.value;
        connection.send({ $case: "pong", value: { nonce, healthy: this.#isHealthy() } });
        break;
      }
      case "error":
        this.#report(fromAppErrorMessage(frame.value));
        break;
      default:
        // A drain needs no answer: the bridge closes when the work in hand is acknowledged, and the link connects anew.
        break;
    }
  }

  /** When stopping, batches that nobody has begun are left to other instances; else they are finished first. */
  get #idle(): boolean {
    const open = this.#stopping === undefined ? (this.#link.acks?.open ?? 0) : (this.#consumer?.running ?? 0);
    return open === 0 && this.#calls.open === 0 && this.#outbox.idle;
  }

  #down(cause: AppError | undefined): void {
    this.#outbox.disconnected();
    const text = "the connection to the bridge was lost before the answer came";
    this.#calls.disconnected(new AppError("rpc.unavailable", text, { cause }));
  }

  async #stopOnce(): Promise<void> {
    if (this.#state === "failed") return;
    this.#set("stopping");
    this.#stream.end();
    this.#consumer?.stop();
    await this.#link.leave("the app stops");
    this.#end(stopped());
    await this.#running;
    this.#set("stopped");
  }

  #giveUp(error: AppError): void {
    this.#consumer?.stop();
    this.#stream.end();
    this.#end(error);
    this.#set("failed");
    this.#report(error);
  }

  #end(reason: AppError): void {
    this.#link.close(reason);
    this.#aborter.abort(reason);
    this.#outbox.fail(reason);
    this.#calls.disconnected(reason);
  }

  async #connectedWithin(timeoutMs: number): Promise<Connection> {
    if (this.#running === undefined || this.#aborter.signal.aborted) {
      throw new AppError("rpc.unavailable", `the client is ${this.#state}`);
    }
    return await this.#link.within(timeoutMs);
  }

  #report(error: AppError, message?: Message): void {
    notify("onError", this.#options.onError, error, message);
  }

  #set(state: ClientState): void {
    if (this.#state === state) return;
    // The link knows nothing of the end that its client has begun.
    if (this.#stopping !== undefined && state !== "stopping" && state !== "stopped") return;
    this.#state = state;
    notify("onStateChange", this.#options.onStateChange, state);
  }

  /** An app that cannot say how it is, is not well. */
  #isHealthy(): boolean {
    try {
      return this.#settings.isHealthy() === true;
    } catch (thrown) {
      this.#report(AppError.wrap("app.handler_failed", "isHealthy of the application failed", thrown));
      return false;
    }
  }
}

function stopped(): AppError {
  return new AppError("operation.aborted", "the client was stopped");
}
