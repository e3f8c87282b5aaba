/** Messages from one process to another that arrive once and in order: a request at a time, the same one until it is answered. */
import { AppError, type Backoff, backoff, type Clock, type Timer } from "@myelin/kernel";

/** What a sender of ordered calls needs. */
export interface OrderedCallsOptions {
  readonly clock: Clock;
  /** Sends one call; its rejection, whatever the error, is followed by another try of the same bytes. */
  readonly request: (data: Uint8Array) => Promise<Uint8Array>;
  /** Everything that waits, under this number; undefined when nothing does. Called with the next number only after the answer to the last. */
  readonly take: (sequence: number) => Uint8Array | undefined;
  /** Each answer, in order. */
  readonly answered?: ((answer: Uint8Array) => void) | undefined;
  /** A defect, here or at the other end (family `ours`): told once per call, which is tried on all the same. */
  readonly onDefect: (error: AppError) => void;
}

const FIRST_WAIT_MS = 20;
const MAX_WAIT_MS = 1_000;

/** One way to one receiver. What comes while a call is under way goes with the next, so calls grow as the load does. */
export class OrderedCalls {
  private sequence = 0;
  private isSending = false;
  private isScheduled = false;
  private isClosed = false;
  private timer: Timer | undefined;
  private wake: (() => void) | undefined;
  private readonly waits: Backoff = backoff({ initialMs: FIRST_WAIT_MS, maxMs: MAX_WAIT_MS });

  constructor(private readonly options: OrderedCallsOptions) {}

  /** Something waits: it is sent when the running turn is over, or after the call that is under way. */
  kick(): void {
    if (this.isScheduled || this.isSending || this.isClosed) return;
    this.isScheduled = true;
    setImmediate(() => {
      this.isScheduled = false;
      void this.run().catch((thrown: unknown) => this.options.onDefect(AppError.from(thrown)));
    });
  }

  /** Sends nothing more and forgets what is under way. Safe twice. */
  close(): void {
    this.isClosed = true;
    this.options.clock.clear(this.timer);
    this.wake?.();
  }

  private async run(): Promise<void> {
    if (this.isSending) return;
    this.isSending = true;
    try {
      while (!this.isClosed) {
        const data = this.options.take(this.sequence + 1);
        if (data === undefined) return;
        this.sequence += 1;
        await this.call(data);
      }
    } finally {
      this.isSending = false;
    }
  }

  private async call(data: Uint8Array): Promise<void> {
    const { request, onDefect } = this.options;
    this.waits.reset();
    let isTold = false;
    while (!this.isClosed) {
      let answer: Uint8Array;
      try {
        answer = await request(data);
      } catch (thrown) {
        const error = AppError.from(thrown);
        if (error.family === "ours" && !isTold) {
          isTold = true;
          onDefect(error);
        }
        await this.pause();
        continue;
      }
      if (!this.isClosed) this.take(answer);
      return;
    }
  }

  /** It is answered, whatever becomes of the answer. */
  private take(answer: Uint8Array): void {
    const { answered, onDefect } = this.options;
    try {
      answered?.(answer);
    } catch (thrown) {
      onDefect(AppError.from(thrown));
    }
  }

  private pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.wake = resolve;
    this.timer = this.options.clock.setTimeout(resolve, this.waits.nextMs());
    if (this.isClosed) resolve();
    return promise;
  }
}

/** The receiving end: says which calls are new. One sender at a time per key; a key that comes anew begins with whatever it sends first. */
export class OrderedCallsReader {
  private readonly last = new Map<string, number>();

  /** @param maxSenders beyond it the one that was silent longest is forgotten */
  constructor(private readonly maxSenders = 4096) {}

  /** True: take it. False: it was taken before, so only answer. */
  isNew(sender: string, sequence: number): boolean {
    const last = this.last.get(sender);
    if (last !== undefined) {
      if (sequence <= last) return false;
      this.last.delete(sender);
    }
    this.last.set(sender, sequence);
    if (this.last.size > this.maxSenders) this.last.delete(this.last.keys().next().value!);
    return true;
  }

  /** The sender is gone for good. */
  forget(sender: string): void {
    this.last.delete(sender);
  }
}
