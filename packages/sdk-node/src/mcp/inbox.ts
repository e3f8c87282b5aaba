/** Messages from the server: each is handed out once, in order, and acknowledged when the application is done with it. */
import type { McpMessage } from "@myelin/contract";
import { AppError, BoundedQueue } from "@myelin/kernel";

/** What the inbox needs of the connection that is open at the moment. */
export interface InboxPort {
  /** Tells the server that the message is done with, or why it was refused. */
  answer(message: McpMessage, error: AppError | undefined): void;
  /** Holds the server back, or lets it go on. */
  pause(paused: boolean): void;
}

/** Takes one message; what it throws is told to the server as a refusal. */
export type McpMessageCallback = (message: McpMessage) => void | Promise<void>;

// Ids of messages that were taken: enough for all that a server may send again after a reconnect.
const REMEMBERED_IDS = 4096;

/** Between connection and application. */
export class Inbox {
  readonly #queue: BoundedQueue<McpMessage>;
  readonly #port: InboxPort;
  // By id: true once the application is done with it.
  readonly #taken = new Map<string, boolean>();
  #paused = false;
  #pumping = false;
  #callback: McpMessageCallback | undefined;

  constructor(maxItems: number, port: InboxPort) {
    this.#queue = new BoundedQueue({ maxItems, policy: "refuse" });
    this.#port = port;
  }

  /**
   * One message has come. A double is not handed out, but acknowledged again if the first one was; a message that finds no room
   * is not acknowledged, so that the server keeps it.
   */
  take(message: McpMessage): void {
    const key = keyOf(message);
    const done = key === undefined ? undefined : this.#taken.get(key);
    if (done !== undefined) {
      if (done) this.#port.answer(message, undefined);
      return;
    }
    if (!this.#queue.tryPush(message)) return;
    if (key !== undefined) this.#remember(key);
    if (this.#queue.length * 2 > this.#queue.maxItems && !this.#paused) this.#pause(true);
    void this.#pump();
  }

  /** A new connection is read from the start. */
  connected(): void {
    if (this.#paused) this.#port.pause(true);
  }

  /** The server has forgotten the session: what it sends from now on is new. */
  newSession(): void {
    this.#taken.clear();
  }

  /** Hands messages to `callback`, one at a time. Undefined: keeps them for `iterate`. */
  deliverTo(callback: McpMessageCallback | undefined): void {
    this.#callback = callback;
    void this.#pump();
  }

  /** Messages as they come; each is acknowledged when the next one is asked for. Ends when the inbox is closed. */
  async *iterate(signal: AbortSignal): AsyncGenerator<McpMessage, void, undefined> {
    for (;;) {
      let message: McpMessage;
      try {
        message = await this.#queue.take(signal);
      } catch (error) {
        // Aborted or closed: both are how an iteration ends.
        if (AppError.is(error) && (error.code === "queue.closed" || signal.aborted)) return;
        throw error;
      }
      this.#roomAgain();
      yield message;
      this.#done(message, undefined);
    }
  }

  close(): void {
    this.#queue.close();
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (let callback = this.#callback; callback !== undefined; callback = this.#callback) {
        const message = this.#queue.shift();
        if (message === undefined) return;
        this.#roomAgain();
        let error: AppError | undefined;
        try {
          await callback(message);
        } catch (thrown) {
          error = AppError.from(thrown);
        }
        this.#done(message, error);
      }
    } finally {
      this.#pumping = false;
    }
  }

  #done(message: McpMessage, error: AppError | undefined): void {
    const key = keyOf(message);
    if (key !== undefined && this.#taken.has(key)) this.#taken.set(key, true);
    this.#port.answer(message, error);
  }

  #roomAgain(): void {
    if (this.#paused && this.#queue.length * 4 < this.#queue.maxItems) this.#pause(false);
  }

  #pause(paused: boolean): void {
    this.#paused = paused;
    this.#port.pause(paused);
  }

  #remember(key: string): void {
    this.#taken.set(key, false);
    if (this.#taken.size <= REMEMBERED_IDS) return;
    for (const oldest of this.#taken.keys()) {
      this.#taken.delete(oldest);
      return;
    }
  }
}

/** What names the message within its session; undefined when the server gave it neither id nor sequence. */
function keyOf(message: McpMessage): string | undefined {
  if (message.id !== "") return `i${message.id}`;
  return message.sequence > 0 ? `s${message.sequence}` : undefined;
}
