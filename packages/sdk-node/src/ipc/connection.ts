/** One connection to a bridge: hello and welcome, heartbeat, frames to those who handle them. */
import {
  APP_PROTOCOL_VERSION,
  type app,
  decodeAppFrame,
  encodeAppFrame,
  envelope,
  frameBody,
  fromAppErrorMessage,
  TAG_FRAME_DELIVER,
} from "@myelin/contract";
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import { connectGrpc, connectUds, type FrameStream } from "@myelin/rpc";
import type { Settings, SubscriptionOption } from "./options.js";
import { kinds, protocols } from "./words.js";

/** Any content of a frame. */
export type Frame = NonNullable<app.AppFrame["frame"]>;

/** Who gets what a connection receives. Calls come between `welcome` and `closed`. */
export interface ConnectionHandlers {
  /** Bytes of a batch; they may be kept. */
  batch(data: Buffer): void;
  frame(frame: Frame, connection: Connection): void;
  /** The transport takes frames again. */
  drained(): void;
  /** Called once; `error` is undefined after an orderly end. */
  closed(error: AppError | undefined): void;
}

const SDK = "node";
const UNIX = "unix:";

/** Connects and greets. @throws AppError `rpc.unavailable`, `operation.timeout`, or what the bridge refuses with */
export async function openConnection(
  settings: Settings,
  serves: readonly string[],
  clock: Clock,
  handlers: ConnectionHandlers,
  signal: AbortSignal,
): Promise<Connection> {
  const { target, tls, connectTimeoutMs: timeoutMs } = settings;
  const stream = target.startsWith(UNIX)
    ? await connectUds(target.slice(UNIX.length), { signal })
    : await connectGrpc(target, {
        signal,
        timeoutMs,
        ...(tls === undefined ? {} : { ca: tls.ca }),
        ...(tls?.key === undefined ? {} : { clientKey: tls.key }),
        ...(tls?.certificate === undefined ? {} : { clientCertificate: tls.certificate }),
      });
  const connection = new Connection(stream, clock, handlers);
  try {
    await connection.greet(helloOf(settings, serves), timeoutMs, signal);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Usable after `greet`. */
export class Connection {
  instance = "";
  bridge = "";
  maxFrameBytes = 0;
  /** The transport's buffer is over its mark. */
  blocked = false;
  closed = false;
  readonly #stream: FrameStream;
  readonly #clock: Clock;
  readonly #handlers: ConnectionHandlers;
  #welcome: { resolve: (welcome: app.AppWelcome) => void; reject: (error: AppError) => void } | undefined;
  #lastError: AppError | undefined;
  #heartbeat: Timer | undefined;
  #lastHeardMs: number;
  #nonce = 0;

  constructor(stream: FrameStream, clock: Clock, handlers: ConnectionHandlers) {
    this.#stream = stream;
    this.#clock = clock;
    this.#handlers = handlers;
    this.#lastHeardMs = clock.nowMs();
    stream.onFrame((frame) => this.#onFrame(frame));
    stream.onDrain(() => {
      this.blocked = false;
      this.#handlers.drained();
    });
    stream.onClose((error) => this.#ended(error));
  }

  async greet(hello: app.AppHello, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const welcome = await new Promise<app.AppWelcome>((resolve, reject) => {
      const abort = (): void => reject(new AppError("operation.aborted", "connecting was called off"));
      const timer = this.#clock.setTimeout(() => {
        reject(new AppError("operation.timeout", `the bridge said no welcome within ${timeoutMs} ms`));
      }, timeoutMs);
      const settle = (): void => {
        this.#welcome = undefined;
        this.#clock.clear(timer);
        signal.removeEventListener("abort", abort);
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#welcome = {
        resolve: (w) => {
          settle();
          resolve(w);
        },
        reject: (e) => {
          settle();
          reject(e);
        },
      };
      this.send({ $case: "hello", value: hello });
    });
    this.instance = welcome.instance;
    this.bridge = welcome.bridge;
    this.maxFrameBytes = welcome.maxFrameBytes;
    if (welcome.heartbeatMs > 0) {
      this.#heartbeat = this.#clock
        .setInterval(() => this.#beat(welcome.heartbeatMs), welcome.heartbeatMs)
        .unref();
    }
  }

  /** False: nothing more should be sent until `drained`, or the connection is closed. */
  send(frame: Frame): boolean {
    return this.sendBytes(encodeAppFrame(frame));
  }

  sendBytes(frame: Uint8Array): boolean {
    if (this.closed) return false;
    if (!this.#stream.send(frame)) this.blocked = true;
    return !this.blocked;
  }

  /** Why the bridge would not take this frame; undefined when it does. */
  tooLarge(frame: Uint8Array): AppError | undefined {
    const limit = this.maxFrameBytes;
    if (limit === 0 || frame.length <= limit) return undefined;
    return new AppError(
      "contract.frame_too_large",
      `a frame of ${frame.length} bytes, the bridge takes ${limit}`,
      { details: { bytes: frame.length, limit } },
    );
  }

  /** Sends what is buffered, then ends. */
  close(): void {
    this.#stream.close();
    // What nobody reads is not waited for.
    this.#clock.setTimeout(() => this.#stream.destroy(), 1_000).unref();
    this.#ended(undefined);
  }

  #onFrame(bytes: Buffer): void {
    if (this.closed) return;
    this.#lastHeardMs = this.#clock.nowMs();
    try {
      const batch = frameBody(bytes, TAG_FRAME_DELIVER);
      if (batch !== undefined) this.#handlers.batch(batch);
      else this.#onControl(decodeAppFrame(bytes));
    } catch (thrown) {
      this.#lastError = AppError.from(thrown);
      this.#stream.destroy();
      this.#ended(this.#lastError);
    }
  }

  #onControl(frame: Frame): void {
    if (frame.$case === "welcome") this.#welcome?.resolve(frame.value);
    else if (frame.$case === "error") {
      this.#lastError = fromAppErrorMessage(frame.value);
      this.#welcome?.reject(this.#lastError);
      this.#handlers.frame(frame, this);
    } else if (frame.$case === "deliver") {
      // A batch whose fields were not written in order: decoded by the book and written again.
      this.#handlers.batch(Buffer.from(envelope.Batch.encode(frame.value).finish()));
    } else if (frame.$case !== "pong") this.#handlers.frame(frame, this);
  }

  #beat(heartbeatMs: number): void {
    const silentMs = this.#clock.nowMs() - this.#lastHeardMs;
    if (silentMs > 2 * heartbeatMs) {
      this.#lastError = new AppError("protocol.timeout", `nothing heard of the bridge for ${silentMs} ms`);
      this.#stream.destroy();
      this.#ended(this.#lastError);
      return;
    }
    this.#nonce += 1;
    this.send({ $case: "ping", value: { nonce: this.#nonce } });
  }

  #ended(error: AppError | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.#clock.clear(this.#heartbeat);
    const reason = this.#lastError ?? error;
    this.#welcome?.reject(
      reason ?? new AppError("rpc.unavailable", "the bridge ended the stream before its welcome"),
    );
    this.#handlers.closed(reason);
  }
}

function helloOf(settings: Settings, serves: readonly string[]): app.AppHello {
  return {
    version: APP_PROTOCOL_VERSION,
    app: settings.app,
    instance: settings.instance,
    subscriptions: settings.subscriptions.map(toSubscription),
    creditEnvelopes: settings.credit.messages,
    creditBytes: settings.credit.bytes,
    token: settings.token,
    healthUrl: settings.healthUrl,
    sdk: SDK,
    serves: [...serves],
  };
}

/** The wire form of a subscription. */
export function toSubscription(option: SubscriptionOption): app.Subscription {
  const given = typeof option === "string" ? { filter: option } : option;
  return {
    filter: given.filter,
    deviceIds: [...(given.deviceIds ?? [])],
    kinds: (given.kinds ?? []).map((kind) => kinds.toWire(kind)),
    protocols: (given.protocols ?? []).map((protocol) => protocols.toWire(protocol)),
    ports: [...(given.ports ?? [])],
  };
}
