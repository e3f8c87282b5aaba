/** One app instance on one stream: reads its frames, holds its state, and writes to it. */
import { randomBytes } from "node:crypto";
import {
  APP_PROTOCOL_VERSION,
  type app,
  type BatchView,
  decodeAppFrame,
  encodeAppFrame,
  frameBody,
  fromAppErrorMessage,
  TAG_FRAME_PUBLISH,
  toAppErrorMessage,
} from "@myelin/contract";
import { AppError, CallTable, type Timer } from "@myelin/kernel";
import { peerOf } from "./admission.js";
import type { BridgeCore } from "./bridge-core.js";

import { Deliveries } from "./deliveries.js";
import { HealthRecord, type Patient } from "./health.js";
import { checkHello, checkSubscriptions, creditOf } from "./hello.js";
import { Publisher } from "./publisher.js";
import type { FrameStream } from "./stream.js";

/** `hello`: nothing said yet. `draining`: gets no more work. */
export type SessionState = "hello" | "admitting" | "open" | "draining" | "closed";

/** Frames other than request, response and send carry no user bytes and may not be large: decoding makes more of them. */
const MAX_CONTROL_FRAME_BYTES = 256 * 1024;
const TAGS_WITH_PAYLOAD: ReadonlySet<number> = new Set([0x42, 0x4a, 0x7a]);

/** Answers to an app that reads none of them: beyond this many the stream is closed. */
const MAX_UNREAD_ANSWERS = 4_096;

/** For what is buffered when a stream is closed, the reason above all. */
const CLOSE_WITHIN_MS = 2_000;

/** Created for each stream that a transport accepts; `closed` is final. */
export class AppSession implements Patient {
  app = "";
  /** As the app calls itself, or as the bridge called it. */
  instance = "";
  /** The instance as owners know it: unique per session, so that links of an earlier session cannot be mixed up. */
  target = "";
  subscriptions: readonly app.Subscription[] = [];
  serves: readonly string[] = [];
  /** Unix microseconds since which it is let in. */
  sinceUs = 0;
  healthUrl = "";
  /** What it takes in the bridge's announcements; owned by `BridgeCore.reserve`. */
  announcedBytes = 0;
  state: SessionState = "hello";
  readonly health = new HealthRecord();
  readonly peer: string;
  deliveries: Deliveries | undefined;
  publisher: Publisher | undefined;
  /** Requests that this app was asked. */
  readonly asked: CallTable<app.Response>;
  /** Requests and sends of this app that wait for an answer. */
  pendingCalls = 0;
  lastHeardMs: number;
  readonly #stream: FrameStream;
  readonly #core: BridgeCore;
  #helloTimer: Timer | undefined;
  #drainTimer: Timer | undefined;
  #unread = 0;
  #paused = false;

  constructor(stream: FrameStream, core: BridgeCore) {
    this.#stream = stream;
    this.#core = core;
    this.peer = stream.peer;
    this.lastHeardMs = core.clock.nowMs();
    this.asked = new CallTable({
      clock: core.clock,
      maxPending: core.settings.calls.maxPending,
      what: "the app",
    });
  }

  /** Begins to listen to the stream. */
  open(): void {
    this.#stream.onFrame((frame) => this.#onFrame(frame));
    this.#stream.onDrain(() => {
      this.#unread = 0;
      this.deliveries?.unblocked();
    });
    this.#stream.onClose((error) => this.#ended(error));
    this.#helloTimer = this.#core.clock.setTimeout(() => {
      this.fail(new AppError("protocol.timeout", "no hello came in time"));
    }, this.#core.settings.helloTimeoutMs);
  }

  /** True while new work may go to it. */
  get takesWork(): boolean {
    return this.state === "open" && this.health.healthy;
  }

  deliver(view: BatchView): void {
    this.deliveries?.offer(view);
  }

  /** Writes a frame; false when the transport is full. */
  send(frame: NonNullable<app.AppFrame["frame"]>): boolean {
    if (this.state === "closed") return false;
    const took = this.#stream.send(encodeAppFrame(frame));
    this.deliveries?.noteSent(took);
    if (!took && ++this.#unread > MAX_UNREAD_ANSWERS) {
      this.close(new AppError("limit.slow_client", `${this.app} does not read what it asks for`));
    }
    return took;
  }

  ping(nonce: number): void {
    // An app that does not read needs no more pings to be judged by.
    if (this.deliveries?.blocked !== true) this.send({ $case: "ping", value: { nonce } });
  }

  healthChanged(healthy: boolean): void {
    this.#core.sessionChanged(this, healthy ? "healthy again" : "unhealthy");
  }

  /** Tells the app that no more work will come; the stream is closed when it is done, or at the deadline. */
  drain(reason: string, error?: AppError): void {
    if (this.#drainTimer !== undefined || (this.state !== "open" && this.state !== "draining")) return;
    this.state = "draining";
    if (error !== undefined) this.send({ $case: "error", value: toAppErrorMessage(error) });
    this.send({ $case: "drain", value: { reason } });
    this.#core.sessionChanged(this, "draining");
    this.#drainTimer = this.#core.clock.setTimeout(() => this.close(), this.#core.settings.drainTimeoutMs);
    this.#closeWhenDrained();
  }

  /** Tells the app why, then closes. */
  fail(error: AppError): void {
    if (this.state === "closed") return;
    this.#core.refused(error);
    this.#stream.send(encodeAppFrame({ $case: "error", value: toAppErrorMessage(error) }));
    this.close(error);
  }

  close(error?: AppError): void {
    if (this.state === "closed") return;
    this.#stream.close();
    // An app that reads nothing would keep what is buffered for it, and its stream, for ever.
    this.#core.clock.setTimeout(() => this.#stream.destroy(), CLOSE_WITHIN_MS).unref();
    this.#ended(error);
  }

  /** False while acknowledgements or outcomes are missing. */
  get idle(): boolean {
    return (this.deliveries?.pendingEvents ?? 0) === 0 && this.pendingCalls === 0 && this.asked.size === 0;
  }

  /** Ends the session when nothing was heard for longer than two heartbeats; a stream we do not read is not blamed. */
  checkHeard(nowMs: number, limitMs: number): void {
    if (this.#paused) this.lastHeardMs = nowMs;
    else if (nowMs - this.lastHeardMs > limitMs) {
      this.fail(
        new AppError("protocol.timeout", `nothing heard of ${this.app || this.peer} for ${limitMs} ms`),
      );
    }
  }

  #onFrame(frame: Buffer): void {
    if (this.state === "closed") return;
    this.lastHeardMs = this.#core.clock.nowMs();
    try {
      const publish = frameBody(frame, TAG_FRAME_PUBLISH);
      if (publish === undefined) this.#onControl(decodeBounded(frame));
      else if (this.publisher !== undefined) this.publisher.publish(publish);
      else throw new AppError("app.protocol", "publish came before welcome");
    } catch (thrown) {
      this.fail(AppError.from(thrown));
    }
  }

  #onControl(frame: NonNullable<app.AppFrame["frame"]>): void {
    if (this.state === "hello") {
      if (frame.$case !== "hello") throw new AppError("app.protocol", `${frame.$case} came before hello`);
      this.#onHello(frame.value);
      return;
    }
    if (this.state === "admitting") throw new AppError("app.protocol", `${frame.$case} came before welcome`);
    switch (frame.$case) {
      case "ack":
        this.deliveries?.acknowledge(frame.value);
        this.#closeWhenDrained();
        break;
      case "ping":
        this.send({ $case: "pong", value: { nonce: frame.value.nonce, healthy: true } });
        break;
      case "pong":
        this.#core.monitor.pong(this, frame.value.nonce, frame.value.healthy);
        break;
      case "credit":
        this.#onCredit(frame.value);
        break;
      case "subscribe":
        checkSubscriptions(frame.value.subscriptions);
        this.#core.reserve(this, {
          app: this.app,
          instance: this.instance,
          subscriptions: frame.value.subscriptions,
          serves: this.serves,
        });
        this.subscriptions = frame.value.subscriptions;
        this.#core.sessionChanged(this, "subscribed");
        break;
      case "request":
        this.#answer(this.#core.requests.fromApp(this, frame.value), frame.value.id);
        break;
      case "response":
        this.asked.answer(frame.value.id, frame.value);
        this.#closeWhenDrained();
        break;
      case "send":
        this.#sendToDevice(frame.value);
        break;
      case "drain":
        if (this.state === "open") {
          this.state = "draining";
          this.#core.sessionChanged(this, "leaving");
        }
        break;
      case "error":
        this.#core.log.info(
          { app: this.app, code: fromAppErrorMessage(frame.value).code },
          "app reports an error",
        );
        break;
      case "publish":
        throw new AppError("contract.bad_frame", "a publish frame with fields before or behind it");
      default:
        throw new AppError("app.protocol", `an app may not send ${frame.$case}`);
    }
  }

  #onHello(hello: app.AppHello): void {
    checkHello(hello);
    this.state = "admitting";
    this.#after(this.#core.admission.admit(hello, peerOf(this.peer)), () => {
      if (this.state === "admitting") this.#welcome(hello);
    });
  }

  #welcome(hello: app.AppHello): void {
    const { settings, books, clock, log } = this.#core;
    clock.clear(this.#helloTimer);
    this.#core.reserve(this, hello);
    const unique = randomBytes(4).toString("hex");
    this.app = hello.app;
    this.instance = hello.instance === "" ? unique : hello.instance;
    this.target = `${this.instance}~${unique}`;
    this.subscriptions = hello.subscriptions;
    this.serves = hello.serves;
    this.sinceUs = clock.wallUs();
    this.healthUrl = hello.healthUrl;
    this.deliveries = new Deliveries(
      {
        app: this.app,
        instance: this.instance,
        tracing: this.#core.lanes.tracing,
        books,
        heldBytes: settings.heldBytes,
        send: (frame) => this.#stream.send(frame),
        acknowledged: (link) => this.#core.acks.note(link),
        fail: (error) => this.fail(error),
      },
      creditOf({ envelopes: hello.creditEnvelopes, bytes: hello.creditBytes }, settings.credit),
    );
    this.publisher = new Publisher(this.#core.lanes, {
      app: this.app,
      clock,
      settings: settings.publish,
      bucket: this.#core.bucketOf(this.app),
      reply: (result) => this.send({ $case: "publishResult", value: result }),
      pause: (paused) => this.#pause(paused),
      refused: (error) => this.#core.refused(error),
    });
    this.state = "open";
    this.send({
      $case: "welcome",
      value: {
        version: APP_PROTOCOL_VERSION,
        bridge: this.#core.bus.instance,
        instance: this.instance,
        heartbeatMs: settings.heartbeatMs,
        maxFrameBytes: settings.maxFrameBytes,
      },
    });
    log.info(
      { app: this.app, instance: this.instance, peer: this.peer, sdk: hello.sdk.slice(0, 64) },
      "app connected",
    );
    this.#core.sessionOpened(this);
  }

  #onCredit(wish: app.Credit): void {
    const { deliveries } = this;
    if (deliveries === undefined) return;
    Object.assign(deliveries.credit, creditOf(wish, this.#core.settings.credit));
    deliveries.creditChanged();
    this.#core.sessionChanged(this, "credit");
  }

  #sendToDevice(request: app.SendToDevice): void {
    this.pendingCalls++;
    this.#after(this.#core.downlinks.send(this, request), (result) => {
      this.pendingCalls--;
      this.send({ $case: "sendResult", value: result });
      this.#closeWhenDrained();
    });
  }

  #answer(response: Promise<app.Response>, id: number): void {
    this.pendingCalls++;
    this.#after(response, (value) => {
      this.pendingCalls--;
      this.send({ $case: "response", value: { ...value, id } });
      this.#closeWhenDrained();
    });
  }

  /** What is done later must not end the process when it goes wrong, only this session. */
  #after<T>(promise: Promise<T>, next: (value: T) => void): void {
    promise.then(next).catch((thrown: unknown) => this.fail(AppError.from(thrown)));
  }

  #pause(paused: boolean): void {
    this.#paused = paused;
    if (paused) this.#stream.pause();
    else this.#stream.resume();
  }

  #closeWhenDrained(): void {
    // After its own drain an app closes the stream itself, since it may still publish.
    if (this.state === "draining" && this.#drainTimer !== undefined && this.idle) this.close();
  }

  #ended(error: AppError | undefined): void {
    if (this.state === "closed") return;
    const known = this.state === "open" || this.state === "draining";
    this.state = "closed";
    this.#core.clock.clear(this.#helloTimer);
    this.#core.clock.clear(this.#drainTimer);
    this.deliveries?.close();
    this.publisher?.close();
    this.asked.failAll(
      new AppError("request.no_responder", `${this.app || "the app"} went away before it answered`),
    );
    this.#core.sessionEnded(this, known, error);
  }
}

function decodeBounded(frame: Buffer): NonNullable<app.AppFrame["frame"]> {
  const tag = frame[0] ?? 0;
  const large = frame.length > MAX_CONTROL_FRAME_BYTES;
  if (large && !(TAGS_WITH_PAYLOAD.has(tag) && frameBody(frame, tag) !== undefined)) {
    throw new AppError("contract.frame_too_large", `a control frame of ${frame.length} bytes`, {
      details: { bytes: frame.length, limit: MAX_CONTROL_FRAME_BYTES },
    });
  }
  return decodeAppFrame(frame);
}
