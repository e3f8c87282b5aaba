/** A TCP connection as a line. */
import { createConnection, type Socket } from "node:net";
import { AppError, type Clock } from "@myelin/kernel";
import { LineQueue } from "../line-queue.js";
import type { ByteLink, ByteReceiver, LineManners } from "../link.js";
import { Reconnector } from "../reconnector.js";

/** Where it leads, and how it is used. */
export interface TcpLinkSettings {
  readonly host: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
  /** How many requests may be on the way at once; many units and gateways bear one only. */
  readonly outstanding: number;
  /** How many of them to the same unit. */
  readonly outstandingPerUnit?: number;
  /** Silence between two requests, for gateways that need it. */
  readonly gapMs: number;
  readonly manners: LineManners;
}

// A cable that was pulled is noticed by the system too, not only by requests without an answer.
const KEEP_ALIVE_MS = 15_000;

/** Connects when asked to, and again after a loss; small frames leave at once. */
export class TcpLink implements ByteLink {
  readonly kind = "tcp";
  readonly queue: LineQueue;
  readonly manners: LineManners;
  receiver: ByteReceiver | undefined;
  readonly #settings: TcpLinkSettings;
  readonly #clock: Clock;
  readonly #reconnector: Reconnector;
  #socket: Socket | undefined;

  constructor(
    readonly name: string,
    settings: TcpLinkSettings,
    clock: Clock,
  ) {
    this.#settings = settings;
    this.#clock = clock;
    this.manners = settings.manners;
    this.queue = new LineQueue({
      clock,
      name,
      concurrency: settings.outstanding,
      perUnit: settings.outstandingPerUnit ?? 1,
      gapMs: settings.gapMs,
    });
    this.#reconnector = new Reconnector(this.#where(), clock, (signal) => this.#open(signal));
  }

  get connected(): boolean {
    return this.#socket !== undefined;
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#socket === undefined) await this.#reconnector.connect(signal);
  }

  async disconnect(): Promise<void> {
    await this.#reconnector.close();
    this.#drop(new AppError("hardware.line_down", `${this.#where()} was closed`), false);
  }

  send(bytes: Uint8Array): undefined {
    if (this.#socket === undefined)
      throw new AppError("hardware.line_down", `${this.#where()} is not connected`);
    this.#socket.write(bytes);
    return undefined;
  }

  reset(reason: string): void {
    this.#drop(new AppError("hardware.line_down", `${this.#where()}: ${reason}`));
  }

  #open(signal: AbortSignal): Promise<void> {
    const { host, port, connectTimeoutMs } = this.#settings;
    return new Promise((resolve, reject) => {
      const socket = createConnection({
        host,
        port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_MS,
      });
      const timer = this.#clock.setTimeout(
        () => fail(`no connection within ${connectTimeoutMs} ms`),
        connectTimeoutMs,
      );
      const onAbort = (): void => fail("called off");
      const settle = (): void => {
        this.#clock.clear(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const fail = (why: string, cause?: unknown): void => {
        settle();
        socket.destroy();
        reject(new AppError("hardware.line_down", `${this.#where()}: ${why}`, { cause }));
      };
      signal.addEventListener("abort", onAbort, { once: true });
      socket.once("connect", () => {
        settle();
        this.#socket = socket;
        resolve();
      });
      socket.on("data", (chunk) => {
        if (this.#socket === socket) this.receiver?.bytes(chunk);
      });
      socket.on("error", (cause) => {
        if (this.#socket === socket)
          this.#drop(new AppError("hardware.line_down", `${this.#where()} broke`, { cause }));
        else fail("refused", cause);
      });
      socket.on("close", () => {
        if (this.#socket === socket)
          this.#drop(new AppError("hardware.line_down", `${this.#where()} was closed by the other side`));
      });
    });
  }

  #drop(error: AppError, retryLater = true): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    socket.destroy();
    if (retryLater) this.#reconnector.lost(error);
    this.receiver?.lost(error);
  }

  #where(): string {
    return `${this.name} (${this.#settings.host}:${this.#settings.port})`;
  }
}
