/** Datagrams to one other end as a line. */
import { createSocket, type Socket } from "node:dgram";
import { AppError, type Clock } from "@myelin/kernel";
import { LineQueue } from "../line-queue.js";
import type { ByteLink, ByteReceiver, LineManners } from "../link.js";
import { Reconnector } from "../reconnector.js";

/** Where it leads. */
export interface UdpLinkSettings {
  readonly host: string;
  readonly port: number;
  readonly gapMs: number;
  readonly manners: LineManners;
}

/** Takes datagrams of the other end only. That nobody is there shows in requests without an answer, or at once where the system says so. */
export class UdpLink implements ByteLink {
  readonly kind = "udp";
  readonly queue: LineQueue;
  readonly manners: LineManners;
  receiver: ByteReceiver | undefined;
  readonly #settings: UdpLinkSettings;
  readonly #reconnector: Reconnector;
  #socket: Socket | undefined;

  constructor(
    readonly name: string,
    settings: UdpLinkSettings,
    clock: Clock,
  ) {
    this.#settings = settings;
    this.manners = settings.manners;
    this.queue = new LineQueue({ clock, name, gapMs: settings.gapMs });
    this.#reconnector = new Reconnector(this.#where(), clock, () => this.#open());
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
    if (this.#socket === undefined) throw new AppError("hardware.line_down", `${this.#where()} is not open`);
    this.#socket.send(bytes);
    return undefined;
  }

  reset(reason: string): void {
    this.#drop(new AppError("hardware.line_down", `${this.#where()}: ${reason}`));
  }

  #open(): Promise<void> {
    const { host, port } = this.#settings;
    return new Promise((resolve, reject) => {
      const socket = createSocket({ type: host.includes(":") ? "udp6" : "udp4" });
      socket.on("message", (chunk) => {
        if (this.#socket === socket) this.receiver?.bytes(chunk);
      });
      socket.on("error", (cause) => {
        const error = new AppError("hardware.line_down", `${this.#where()} is unreachable`, { cause });
        if (this.#socket === socket) this.#drop(error);
        else {
          socket.close();
          reject(error);
        }
      });
      // Connected, the system takes no datagrams of others, and tells when the port is closed.
      socket.connect(port, host, () => {
        this.#socket = socket;
        resolve();
      });
    });
  }

  #drop(error: AppError, retryLater = true): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    socket.close();
    if (retryLater) this.#reconnector.lost(error);
    this.receiver?.lost(error);
  }

  #where(): string {
    return `${this.name} (udp ${this.#settings.host}:${this.#settings.port})`;
  }
}
