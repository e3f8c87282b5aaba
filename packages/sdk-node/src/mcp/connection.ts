/** One connection of a device: hello and welcome, heartbeat, control messages. Ends once, with a reason. */
import {
  encodeMcpFrame,
  MCP_HEADER_BYTES,
  MCP_VERSION,
  type McpControl,
  type McpMessage,
  type McpMessageInit,
  type McpMessageView,
} from "@myelin/contract";
import { AppError, abortError, type Timer } from "@myelin/kernel";
import { Heartbeat } from "./heartbeat.js";
import type { McpResumeState, ResolvedOptions } from "./options.js";
import { carrierOf } from "./transport/registry.js";
import type { Link, LinkEvents } from "./transport/transport.js";

type Control<K extends McpControl["kind"]> = Extract<McpControl, { kind: K }>;

/** What a connection tells its client; `onWelcome` comes first, and before anything that follows it on the wire. */
export interface ConnectionEvents {
  onWelcome(connection: Connection): void;
  onAck(ids: readonly string[], sequence: number): void;
  /** The server refuses one message, or, without id, says why it will close. */
  onRefused(id: string, error: AppError): void;
  onData(message: McpMessage): void;
  onMisses(misses: number): void;
  onDrain(): void;
}

// A hello may get lost on the way, and so may its welcome.
const HELLO_AGAIN_MS = 1_000;

/** Use `open`; afterwards `closed` resolves with the reason when it is over. */
export class Connection {
  readonly closed: Promise<AppError>;
  readonly #options: ResolvedOptions;
  readonly #events: ConnectionEvents;
  readonly #heartbeat: Heartbeat;
  #link: Link | undefined;
  #welcome: Control<"welcome"> | undefined;
  #onWelcome: (() => void) | undefined;
  #close!: (reason: AppError) => void;
  #reason: AppError | undefined;
  /** Said by the server before it closes: a better reason than the end of a socket. */
  #farewell: AppError | undefined;

  private constructor(options: ResolvedOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
    this.#heartbeat = new Heartbeat(options, {
      ping: (nonce) => this.send({ control: { kind: "ping", nonce } }),
      onMisses: (misses) => events.onMisses(misses),
      onDead: () =>
        this.#end(
          new AppError("protocol.timeout", `${options.url.host} missed ${options.missedPongs} pongs`),
        ),
    });
  }

  /**
   * Opens a link and says hello.
   * @throws AppError `rpc.unavailable`, `operation.timeout`, `contract.unsupported_version`, what the server answered instead of a
   * welcome, or the signal's reason
   */
  static async open(
    options: ResolvedOptions,
    resume: McpResumeState | undefined,
    events: ConnectionEvents,
    signal: AbortSignal,
  ): Promise<Connection> {
    const connection = new Connection(options, events);
    try {
      await connection.#open(resume, signal);
      return connection;
    } catch (error) {
      connection.#end(AppError.from(error));
      throw connection.#farewell ?? error;
    }
  }

  get reliable(): boolean {
    return this.#link?.reliable ?? false;
  }

  get bufferedBytes(): number {
    return this.#link?.bufferedBytes ?? 0;
  }

  /** The server's welcome; there is one once `open` has resolved. */
  get welcome(): Control<"welcome"> {
    if (this.#welcome === undefined) throw new AppError("lifecycle.bad_state", "there was no welcome yet");
    return this.#welcome;
  }

  /** Why the server or the carrier would not take this frame; undefined when they do. */
  tooLarge(frame: Buffer): AppError | undefined {
    const announced = this.#welcome?.maxFrameBytes ?? 0;
    const carrier = (this.#link?.maxFrameBytes ?? 0) - MCP_HEADER_BYTES;
    const limit = announced > 0 ? Math.min(announced, carrier) : carrier;
    const length = frame.length - MCP_HEADER_BYTES;
    if (length <= limit) return undefined;
    return new AppError("contract.frame_too_large", `a message of ${length} bytes, ${limit} are accepted`);
  }

  send(message: McpMessageInit): boolean {
    return this.sendFrame(encodeMcpFrame(message));
  }

  /** False: wait for `onDrain` before sending more. */
  sendFrame(frame: Buffer): boolean {
    if (this.#reason !== undefined || this.#link === undefined) return true;
    return this.#link.send(frame);
  }

  pause(paused: boolean): void {
    if (paused) this.#link?.pause();
    else this.#link?.resume();
  }

  /** Says goodbye; what was sent before still goes out, within a second. */
  async leave(reason: string): Promise<void> {
    const { clock } = this.#options;
    this.send({ control: { kind: "bye", reason } });
    this.#heartbeat.stop();
    this.#link?.close();
    const timer: Timer = clock.setTimeout(
      () => this.#end(new AppError("operation.aborted", `left ${this.#options.url.host}`)),
      1_000,
    );
    await this.closed;
    clock.clear(timer);
  }

  async #open(resume: McpResumeState | undefined, signal: AbortSignal): Promise<void> {
    const { url, maxMessageBytes, clock } = this.#options;
    const openLink = await carrierOf(url);
    this.#link = await openLink({ url, maxMessageBytes, events: this.#linkEvents() }, signal);
    const hello = this.#hello(resume);
    this.#link.send(hello);
    const again = this.#link.reliable
      ? undefined
      : clock.setInterval(() => this.#link?.send(hello), HELLO_AGAIN_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#onWelcome = resolve;
        if (signal.aborted) reject(abortError(signal));
        signal.addEventListener("abort", () => reject(abortError(signal)), { once: true });
        void this.closed.then(reject);
      });
    } finally {
      clock.clear(again);
      this.#onWelcome = undefined;
    }
  }

  #hello(resume: McpResumeState | undefined): Buffer {
    const { deviceId, username, password, token, heartbeatMs, maxMessageBytes } = this.#options;
    return encodeMcpFrame({
      control: {
        kind: "hello",
        version: MCP_VERSION,
        deviceId,
        username,
        password: password ?? new Uint8Array(0),
        token,
        resumeToken: resume?.token ?? new Uint8Array(0),
        lastReceivedSequence: resume?.lastReceivedSequence ?? 0,
        heartbeatMs: Math.round(heartbeatMs),
        maxFrameBytes: maxMessageBytes,
      },
    });
  }

  #linkEvents(): LinkEvents {
    return {
      onMessage: (view) => this.#receive(view),
      // A lost datagram is repeated by the server; a stream that has lost its frames cannot be trusted again.
      onBroken: (error) => {
        if (this.#link?.reliable !== false) this.#end(error);
      },
      onDrain: () => this.#events.onDrain(),
      onClose: (error) => this.#end(error),
    };
  }

  #receive(view: McpMessageView): void {
    if (this.#reason !== undefined) return;
    let message: McpMessage;
    try {
      message = view.toMessage();
    } catch (error) {
      if (this.reliable) this.#end(AppError.from(error));
      return;
    }
    this.#heartbeat.heard();
    const { control } = message;
    if (control?.kind !== "error") this.#farewell = undefined;
    if (control === undefined) {
      if (this.#welcome !== undefined) this.#events.onData(message);
    } else this.#receiveControl(control);
  }

  #receiveControl(control: McpControl): void {
    switch (control.kind) {
      case "welcome":
        this.#receiveWelcome(control);
        return;
      case "ping":
        this.send({ control: { kind: "pong", nonce: control.nonce } });
        return;
      case "ack":
        this.#events.onAck(control.ids, control.sequence);
        return;
      case "error":
        this.#receiveError(control);
        return;
      case "bye":
        this.#farewell ??= new AppError(
          "rpc.unavailable",
          `${this.#options.url.host} said goodbye: ${control.reason}`,
        );
        this.#end(this.#farewell);
        return;
      case "pong":
      case "hello":
        // A pong is one more sign of life, and a server never says hello.
        return;
    }
  }

  #receiveWelcome(welcome: Control<"welcome">): void {
    // Over datagrams a second hello brings a second welcome.
    if (this.#welcome !== undefined) return;
    const { host } = this.#options.url;
    if (welcome.version > MCP_VERSION) {
      this.#end(
        new AppError("contract.unsupported_version", `${host} speaks MCP version ${welcome.version}`),
      );
      return;
    }
    this.#welcome = welcome;
    const own = this.#options.heartbeatMs;
    this.#heartbeat.start(welcome.heartbeatMs > 0 ? Math.min(own, welcome.heartbeatMs) : own);
    this.#events.onWelcome(this);
    this.#onWelcome?.();
  }

  #receiveError(control: Control<"error">): void {
    const error = AppError.fromWire(control);
    if (control.id !== "") {
      this.#events.onRefused(control.id, error);
      return;
    }
    this.#farewell = error;
    this.#events.onRefused("", error);
    // Datagrams have no end to wait for: an error about no message is about the session.
    if (this.#welcome === undefined || !this.reliable) this.#end(error);
  }

  #end(reason: AppError): void {
    if (this.#reason !== undefined) return;
    this.#reason = this.#farewell ?? reason;
    this.#heartbeat.stop();
    this.#link?.destroy();
    this.#close(this.#reason);
  }
}
