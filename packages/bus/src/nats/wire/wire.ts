/**
 * The hot connection to NATS: plain publishes and subscriptions, and nothing else. The official client spends more time on a
 * batch than the dispatcher does (it copies what it reads twice and what it writes once); this one reads into one buffer,
 * hands out what lies in it, and writes what it is given. Everything that is not per message stays with the official client.
 */
import { connect, type Socket } from "node:net";
import type { Clock, Timer } from "@myelin/kernel";
import { encodeHeaders, WireHeaders, type WireMessage } from "./message.js";
import { type ParserEvents, WireParser } from "./parser.js";

/** `onState` is told of each change; the wire itself never reconnects. */
export interface WireOptions {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly credentials: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly pingMs: number;
  readonly maxPingsOut: number;
  readonly connectMs: number;
  /** Called once when the connection has ended, with the reason; not after `close`. */
  readonly onEnd: (reason: Error) => void;
  /** The server refused something (`-ERR`), for example a subject; the connection may go on. */
  readonly onRefused: (text: string) => void;
}

/** A handler of one subscription; `transient`: the bytes are overwritten after the call. */
export type WireHandler = (message: WireMessage, transient: boolean) => void;

// The system reads up to 32 of these before anything else gets its turn: larger ones starve whoever must pass on what was read.
const READ_BUFFER_BYTES = 128 * 1024;
/** Above what any server of ours allows; a size beyond it is a broken stream. */
const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;
const CRLF = Buffer.from("\r\n");
/** Payloads below are copied behind their protocol line: one chunk for the socket instead of three. */
const JOIN_BYTES = 4096;

/** One connection, from its handshake to its end. */
export class Wire {
  maxPayloadBytes = 1024 * 1024;
  readonly #options: WireOptions;
  readonly #socket: Socket;
  readonly #parser: WireParser;
  readonly #handlers = new Map<number, WireHandler>();
  /** Who waits for the answer of which PING, in order. */
  readonly #pongs: PromiseWithResolvers<void>[] = [];
  readonly #ready = Promise.withResolvers<void>();
  #nextSid = 1;
  #corked = false;
  #pinging: Timer | undefined;
  #pingsOut = 0;
  #ended = false;

  /** Resolves with a wire that the server has answered on. Rejects with whatever kept it from that. */
  static async open(options: WireOptions): Promise<Wire> {
    const wire = new Wire(options);
    const late = options.clock.setTimeout(
      () => wire.#end(new Error(`no answer within ${options.connectMs} ms`)),
      options.connectMs,
    );
    try {
      await wire.#ready.promise;
    } finally {
      options.clock.clear(late);
    }
    return wire;
  }

  private constructor(options: WireOptions) {
    this.#options = options;
    this.#parser = new WireParser(this.#events(), MAX_PAYLOAD_BYTES);
    const buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
    this.#socket = connect({
      host: options.host,
      port: options.port,
      noDelay: true,
      onread: {
        buffer,
        callback: (bytes) => {
          this.#read(buffer.subarray(0, bytes));
          return true;
        },
      },
    });
    this.#socket.on("error", (error) => this.#end(error));
    this.#socket.on("close", () => this.#end(new Error("the server closed the connection")));
  }

  /** Bytes given to the wire that the system has not taken yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  subscribe(subject: string, queue: string | undefined, handler: WireHandler): number {
    const sid = this.#nextSid++;
    this.#handlers.set(sid, handler);
    this.#write(Buffer.from(`SUB ${subject} ${queue === undefined ? "" : `${queue} `}${sid}\r\n`, "utf8"));
    return sid;
  }

  unsubscribe(sid: number): void {
    if (!this.#handlers.delete(sid)) return;
    this.#write(Buffer.from(`UNSUB ${sid}\r\n`, "latin1"));
  }

  /** Ends a subscription; resolves when everything the server had sent for it was handled. */
  async drain(sid: number): Promise<void> {
    if (!this.#handlers.has(sid)) return;
    this.#write(Buffer.from(`UNSUB ${sid}\r\n`, "latin1"));
    // A connection that ended sends nothing more either.
    await this.flush().catch(() => undefined);
    this.#handlers.delete(sid);
  }

  /** `data` must not change until it was written. `headers` come in front of it. */
  publish(
    subject: string,
    data: Uint8Array,
    reply: string,
    headers?: Readonly<Record<string, string>>,
  ): void {
    const head = headers === undefined ? undefined : encodeHeaders(headers);
    const size = data.length + (head?.length ?? 0);
    const to = reply === "" ? subject : `${subject} ${reply}`;
    const line = head === undefined ? `PUB ${to} ${size}\r\n` : `HPUB ${to} ${head.length} ${size}\r\n`;
    if (data.length <= JOIN_BYTES) {
      const lineBytes = Buffer.byteLength(line);
      const out = Buffer.allocUnsafe(lineBytes + size + CRLF.length);
      out.write(line, "utf8");
      head?.copy(out, lineBytes);
      out.set(data, lineBytes + (head?.length ?? 0));
      out.set(CRLF, lineBytes + size);
      this.#write(out);
      return;
    }
    this.#write(Buffer.from(line, "utf8"));
    if (head !== undefined) this.#write(head);
    this.#write(data);
    this.#write(CRLF);
  }

  /** Resolves when the server has read everything before. Rejects when the connection ends first: then nobody knows. */
  flush(): Promise<void> {
    if (this.#ended) return Promise.reject(new Error("the connection has ended"));
    return this.#askPong();
  }

  /** Sends what waits, then ends. Safe twice. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cleanUp();
    this.#socket.end();
    this.#socket.unref();
  }

  #events(): ParserEvents {
    return {
      onMessage: (sid, line, headerBytes, payload, transient) => {
        const handler = this.#handlers.get(sid);
        if (handler !== undefined) handler(new LazyMessage(line, headerBytes, payload), transient);
      },
      onInfo: (json) => this.#onInfo(json),
      onPing: () => this.#write(Buffer.from("PONG\r\n", "latin1")),
      onPong: () => {
        this.#pingsOut = 0;
        this.#pongs.shift()?.resolve();
      },
      onError: (text) => {
        if (this.#pinging === undefined) this.#end(new Error(text));
        else this.#options.onRefused(text);
      },
    };
  }

  #onInfo(json: string): void {
    const info = JSON.parse(json) as { max_payload?: number };
    this.maxPayloadBytes = info.max_payload ?? this.maxPayloadBytes;
    if (this.#pinging !== undefined) return;
    const { name, credentials, clock, pingMs } = this.#options;
    const hello = {
      verbose: false,
      pedantic: false,
      lang: "myelin",
      version: "1",
      protocol: 1,
      headers: true,
      no_responders: true,
      name,
      ...credentials,
    };
    this.#write(Buffer.from(`CONNECT ${JSON.stringify(hello)}\r\n`, "utf8"));
    this.#askPong().then(
      () => {
        // Answered: the credentials were good. Unless it has ended in this very turn.
        if (this.#ended) return;
        this.#pinging = clock.setInterval(() => this.#ping(), pingMs);
        this.#pinging.unref();
        this.#ready.resolve();
      },
      // `#end` has rejected `#ready` with the reason.
      () => undefined,
    );
  }

  #askPong(): Promise<void> {
    const pong = Promise.withResolvers<void>();
    this.#pongs.push(pong);
    this.#write(Buffer.from("PING\r\n", "latin1"));
    return pong.promise;
  }

  #ping(): void {
    if (++this.#pingsOut > this.#options.maxPingsOut) {
      this.#end(new Error("the server does not answer any more"));
      return;
    }
    this.#askPong().catch(() => undefined);
  }

  #read(chunk: Buffer): void {
    if (this.#ended) return;
    try {
      this.#parser.push(chunk);
    } catch (thrown) {
      this.#end(thrown as Error);
    }
  }

  /** Everything of one turn of the event loop leaves in one system call. */
  #write(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (this.#ended || socket.destroyed) return;
    if (!this.#corked) {
      this.#corked = true;
      socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        socket.uncork();
      });
    }
    socket.write(bytes);
  }

  #end(reason: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    const wasReady = this.#pinging !== undefined;
    if (!wasReady) this.#ready.reject(reason);
    this.#cleanUp();
    this.#socket.destroy();
    if (wasReady) this.#options.onEnd(reason);
  }

  #cleanUp(): void {
    this.#options.clock.clear(this.#pinging);
    for (const pong of this.#pongs.splice(0)) pong.reject(new Error("the connection has ended"));
    this.#handlers.clear();
  }
}

class LazyMessage implements WireMessage {
  readonly data: Buffer;
  readonly #line: Buffer;
  readonly #headerBytes: Buffer | undefined;

  constructor(line: Buffer, headerBytes: number, payload: Buffer) {
    this.#line = line;
    this.#headerBytes = headerBytes === 0 ? undefined : payload.subarray(0, headerBytes);
    this.data = headerBytes === 0 ? payload : payload.subarray(headerBytes);
  }

  get subject(): string {
    return this.#line.toString("utf8").split(" ", 1)[0] as string;
  }

  get reply(): string {
    return this.#line.toString("utf8").split(" ")[2] ?? "";
  }

  get headers(): WireHeaders | undefined {
    return this.#headerBytes === undefined ? undefined : new WireHeaders(this.#headerBytes);
  }
}
