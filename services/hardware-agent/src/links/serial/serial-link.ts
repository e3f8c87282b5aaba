/** A serial port as a line. */
import { AppError, type Clock } from "@myelin/kernel";
import { SerialPort } from "serialport";
import { LineQueue } from "../line-queue.js";
import type { ByteLink, ByteReceiver, LineManners } from "../link.js";
import { Reconnector } from "../reconnector.js";

/** Which port, and how it is set. */
export interface SerialLinkSettings {
  readonly path: string;
  readonly baud: number;
  readonly dataBits: 7 | 8;
  readonly parity: "none" | "even" | "odd";
  readonly stopBits: 1 | 2;
  /** When RTS is raised by us, for adapters that do not switch by themselves. */
  readonly rts: "off" | "send" | "receive";
  readonly gapMs: number;
  readonly manners: LineManners;
}

/** Bits that a byte takes: start, data, parity and stop. */
export function bitsPerByte({
  dataBits,
  parity,
  stopBits,
}: Pick<SerialLinkSettings, "dataBits" | "parity" | "stopBits">): number {
  return 1 + dataBits + (parity === "none" ? 0 : 1) + stopBits;
}

/** Opens the port when asked to, alone (no other program gets it meanwhile), and again when it was pulled and is back. */
export class SerialLink implements ByteLink {
  readonly kind = "serial";
  readonly queue: LineQueue;
  readonly manners: LineManners;
  receiver: ByteReceiver | undefined;
  readonly #settings: SerialLinkSettings;
  readonly #reconnector: Reconnector;
  #port: SerialPort | undefined;

  constructor(
    readonly name: string,
    settings: SerialLinkSettings,
    clock: Clock,
  ) {
    this.#settings = settings;
    this.manners = settings.manners;
    this.queue = new LineQueue({ clock, name, gapMs: settings.gapMs });
    this.#reconnector = new Reconnector(this.#where(), clock, () => this.#open());
  }

  get connected(): boolean {
    return this.#port !== undefined;
  }

  async connect(signal: AbortSignal): Promise<void> {
    if (this.#port === undefined) await this.#reconnector.connect(signal);
  }

  async disconnect(): Promise<void> {
    await this.#reconnector.close();
    const port = this.#port;
    this.#port = undefined;
    if (port?.isOpen !== true) return;
    await new Promise<void>((resolve) => port.close(() => resolve()));
    this.receiver?.lost(new AppError("hardware.line_down", `${this.#where()} was closed`));
  }

  async send(bytes: Uint8Array): Promise<void> {
    const port = this.#port;
    if (port === undefined) throw new AppError("hardware.line_down", `${this.#where()} is not open`);
    const { rts } = this.#settings;
    if (rts !== "off") await this.#step((done) => port.set({ rts: rts === "send" }, done));
    await this.#step((done) => port.write(bytes as Buffer, undefined, done));
    // The last bit has left when the drain ends: only then may the direction change, and the unit's time begins.
    await this.#step((done) => port.drain(done));
    if (rts !== "off") await this.#step((done) => port.set({ rts: rts === "receive" }, done));
  }

  reset(reason: string): void {
    this.#port?.close();
    this.#drop(new AppError("hardware.line_down", `${this.#where()}: ${reason}`));
  }

  #step(start: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      start((cause) => {
        if (cause === undefined || cause === null) resolve();
        else reject(new AppError("hardware.line_down", `${this.#where()} took no bytes`, { cause }));
      });
    });
  }

  async #open(): Promise<void> {
    const { path, baud, dataBits, parity, stopBits, rts } = this.#settings;
    const port = new SerialPort({
      path,
      baudRate: baud,
      dataBits,
      parity,
      stopBits,
      lock: true,
      autoOpen: false,
    });
    port.on("data", (chunk: Buffer) => {
      if (this.#port === port) this.receiver?.bytes(chunk);
    });
    port.on("error", (cause) => this.#gone(port, cause));
    port.on("close", (cause: unknown) => this.#gone(port, cause));
    await new Promise<void>((resolve, reject) => {
      port.open((cause) => {
        if (cause === null) resolve();
        else
          reject(
            new AppError(
              "hardware.line_down",
              `${this.#where()} cannot be opened: it is not there, or another program has it`,
              { cause },
            ),
          );
      });
    });
    this.#port = port;
    if (rts !== "off") await this.#step((done) => port.set({ rts: rts === "receive" }, done));
  }

  #gone(port: SerialPort, cause: unknown): void {
    if (this.#port !== port) return;
    if (port.isOpen) port.close();
    this.#drop(new AppError("hardware.line_down", `${this.#where()} was pulled or broke`, { cause }));
  }

  #drop(error: AppError): void {
    if (this.#port === undefined) return;
    this.#port = undefined;
    this.#reconnector.lost(error);
    this.receiver?.lost(error);
  }

  #where(): string {
    return `${this.name} (${this.#settings.path})`;
  }
}
