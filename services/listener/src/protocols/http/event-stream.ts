/** Server-sent events over a request that lasts (HTML standard, 9.2): opened, kept alive, ended with the client. */
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { FastifyReply } from "fastify";

const COMMENT_MS = 15_000;

/** One event; its id is what the client has seen last when it comes again. */
export interface ServerEvent {
  readonly event: string;
  readonly id?: number | undefined;
  /** One line. */
  readonly data: string;
}

/** Writes never wait: who writes much looks at `waitingBytes`, or awaits `drained`. */
export class EventStream {
  readonly #ending = new AbortController();
  readonly #timer: Timer;

  private constructor(
    private readonly out: FastifyReply["raw"],
    private readonly clock: Clock,
  ) {
    this.#timer = clock.setInterval(() => out.write(": alive\n\n"), COMMENT_MS);
    out.once("close", () => {
      clock.clear(this.#timer);
      this.#ending.abort(new AppError("operation.aborted", "the client has gone"));
    });
  }

  /** Takes the reply over; undefined when its client has gone already. */
  static open(reply: FastifyReply, clock: Clock): EventStream | undefined {
    reply.hijack();
    const out = reply.raw;
    if (out.socket?.destroyed !== false) return undefined;
    out.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    // So that the client sees the stream open before the first event.
    out.write(": open\n\n");
    return new EventStream(out, clock);
  }

  /** Aborted when the stream has ended, whoever ended it. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Bytes that the client has not taken yet. */
  get waitingBytes(): number {
    return this.out.writableLength;
  }

  write({ event, id, data }: ServerEvent): void {
    this.out.write(`event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${data}\n\n`);
  }

  /** Resolves when the client has taken what waited, or has gone. */
  async drained(): Promise<void> {
    if (!this.out.writableNeedDrain || this.signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.out.once("drain", resolve);
      this.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  end(): void {
    this.clock.clear(this.#timer);
    this.out.end();
  }
}
