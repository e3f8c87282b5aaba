/** A line that ends in this process: what is sent goes to a function, which answers as it likes. */
import { AppError, type Clock } from "@myelin/kernel";
import { LineQueue, type LineQueueOptions } from "../line-queue.js";
import type { ByteLink, ByteReceiver, LineManners } from "../link.js";

/** The other end. `answer` may be called at any time and as often as it likes; it does nothing while the line is down. */
export type SimulatedPeer = (bytes: Uint8Array, answer: (bytes: Uint8Array) => void) => void;

/** How the line is shared; nobody is at its other end unless told. */
export interface SimulatedLinkSettings extends Pick<LineQueueOptions, "concurrency" | "perUnit" | "gapMs"> {
  readonly peer?: SimulatedPeer | undefined;
  readonly manners: LineManners;
}

/** Up as long as nobody cuts it. */
export class SimulatedLink implements ByteLink {
  readonly kind = "simulated";
  readonly queue: LineQueue;
  readonly manners: LineManners;
  receiver: ByteReceiver | undefined;
  readonly #peer: SimulatedPeer | undefined;
  #connected = false;
  #cut = false;

  constructor(
    readonly name: string,
    { peer, manners, ...sharing }: SimulatedLinkSettings,
    clock: Clock,
  ) {
    this.#peer = peer;
    this.manners = manners;
    this.queue = new LineQueue({ ...sharing, clock, name });
  }

  get connected(): boolean {
    return this.#connected;
  }

  async connect(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#cut) throw new AppError("hardware.line_down", `${this.name} is cut`);
    this.#connected = true;
  }

  async disconnect(): Promise<void> {
    this.#connected = false;
  }

  /** Takes the line away, and gives it back. */
  cut(isCut: boolean): void {
    this.#cut = isCut;
    if (isCut) this.reset("cut");
  }

  send(bytes: Uint8Array): undefined {
    if (!this.#connected) throw new AppError("hardware.line_down", `${this.name} is not connected`);
    this.#peer?.(bytes, (answer) => {
      if (this.#connected) this.receiver?.bytes(answer);
    });
    return undefined;
  }

  reset(reason: string): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.receiver?.lost(new AppError("hardware.line_down", `${this.name}: ${reason}`));
  }
}
