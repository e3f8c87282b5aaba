/** A queue with a bound on items and bytes and a stated policy when it is full. */
import { AppError } from "../errors/app-error.js";
import { abortError } from "../time/clock.js";
import { Ring } from "./ring.js";

/**
 * What happens to an item that finds the queue full. `refuse`: `tryPush` is false and the caller keeps the item.
 * `drop_oldest`: room is made at the head. `drop_newest`: the arriving item is dropped. `wait`: as `refuse`, and
 * `push` waits for room. Dropped items are counted and handed to `onDrop`.
 */
export type FullPolicy = "refuse" | "drop_oldest" | "drop_newest" | "wait";

/** Bounds and policy; `maxBytes` counts what callers state per item and is unlimited only if left out. */
export interface BoundedQueueOptions<T> {
  readonly maxItems: number;
  readonly maxBytes?: number;
  readonly policy: FullPolicy;
  readonly onDrop?: (item: T, bytes: number) => void;
}

interface Waiter<V> {
  readonly resolve: (value: V) => void;
  readonly reject: (error: AppError) => void;
  detach: () => void;
}

interface PushWaiter<T> extends Waiter<void> {
  readonly item: T;
  readonly bytes: number;
}

/** First in, first out. Counters only grow; `pushed = shifted + dropped + length` holds at all times. */
export class BoundedQueue<T> {
  readonly maxItems: number;
  readonly maxBytes: number;
  readonly policy: FullPolicy;
  readonly #items = new Ring<T>();
  readonly #sizes = new Ring<number>();
  readonly #pushers = new Set<PushWaiter<T>>();
  readonly #takers = new Set<Waiter<T>>();
  readonly #onDrop: ((item: T, bytes: number) => void) | undefined;
  #bytes = 0;
  #closed = false;
  /** Items that were taken in, those dropped on arrival by `drop_newest` included. */
  pushed = 0;
  shifted = 0;
  dropped = 0;
  /** Items that the caller kept. */
  refused = 0;
  /** The greatest length there has been. */
  highWater = 0;

  constructor(options: BoundedQueueOptions<T>) {
    if (!(options.maxItems >= 1))
      throw new AppError("internal.invalid_argument", "maxItems must be at least 1");
    this.maxItems = options.maxItems;
    this.maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.policy = options.policy;
    this.#onDrop = options.onDrop;
  }

  get length(): number {
    return this.#items.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** True when an item of `bytes` fits now without the policy having to act. */
  hasRoom(bytes = 0): boolean {
    return this.#items.length < this.maxItems && this.#bytes + bytes <= this.maxBytes;
  }

  /**
   * Adds an item at once; false when the queue did not keep it. Items larger than `maxBytes` are never kept:
   * policy `refuse` and `wait` leave them to the caller, the dropping ones drop them.
   */
  tryPush(item: T, bytes = 0): boolean {
    if (this.#closed || this.#pushers.size > 0) return this.#refuse();
    if (this.hasRoom(bytes)) return this.#append(item, bytes);
    if (this.policy === "refuse" || this.policy === "wait") return this.#refuse();
    if (this.policy === "drop_newest" || bytes > this.maxBytes) {
      this.pushed++;
      this.#drop(item, bytes);
      return false;
    }
    while (!this.hasRoom(bytes)) {
      const [oldest, size] = this.#removeHead();
      this.#drop(oldest, size);
    }
    return this.#append(item, bytes);
  }

  /**
   * Adds an item and, with policy `wait`, resolves when there was room for it; waiting pushes keep their order.
   * @throws AppError `queue.full` with policy `refuse`, `queue.item_too_large`, `queue.closed`, or the signal's reason.
   */
  push(item: T, bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#closed) return Promise.reject(new AppError("queue.closed", "the queue is closed"));
    if (bytes > this.maxBytes && (this.policy === "wait" || this.policy === "refuse")) {
      const message = `an item of ${bytes} bytes can never fit into a queue of ${this.maxBytes} bytes`;
      return Promise.reject(new AppError("queue.item_too_large", message));
    }
    if (this.policy !== "wait") {
      const kept = this.tryPush(item, bytes);
      if (kept || this.policy !== "refuse") return Promise.resolve();
      return Promise.reject(new AppError("queue.full", `the queue holds ${this.length} items already`));
    }
    if (signal.aborted) return Promise.reject(abortError(signal));
    if (this.#pushers.size === 0 && this.hasRoom(bytes)) {
      this.#append(item, bytes);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiter = { item, bytes, resolve, reject, detach: () => undefined };
      this.#park(this.#pushers, waiter, signal);
    });
  }

  /** Removes the oldest item; undefined when there is none. */
  shift(): T | undefined {
    if (this.#items.length === 0) return undefined;
    const [item] = this.#removeHead();
    this.shifted++;
    this.#admitWaiting();
    return item;
  }

  /** The oldest item, left where it is. */
  peek(): T | undefined {
    return this.#items.peek();
  }

  /**
   * Removes the oldest item, waiting for one if there is none; takers are served in their order.
   * @throws AppError `queue.closed` when the queue is closed and empty, or the signal's reason.
   */
  take(signal: AbortSignal): Promise<T> {
    if (signal.aborted) return Promise.reject(abortError(signal));
    if (this.#items.length > 0) return Promise.resolve(this.shift() as T);
    if (this.#closed) return Promise.reject(new AppError("queue.closed", "the queue is closed"));
    return new Promise((resolve, reject) => {
      this.#park(this.#takers, { resolve, reject, detach: () => undefined }, signal);
    });
  }

  /** Removes and drops everything, counted and handed to `onDrop`. */
  clear(): void {
    while (this.#items.length > 0) {
      const [item, bytes] = this.#removeHead();
      this.#drop(item, bytes);
    }
    this.#admitWaiting();
  }

  /** Takes nothing more; what is inside can still be shifted. Whoever waits gets `queue.closed`. Safe twice. */
  close(): void {
    this.#closed = true;
    for (const waiter of [...this.#pushers, ...this.#takers]) {
      waiter.detach();
      waiter.reject(new AppError("queue.closed", "the queue was closed"));
    }
    this.#pushers.clear();
    this.#takers.clear();
  }

  #refuse(): false {
    this.refused++;
    return false;
  }

  #append(item: T, bytes: number): true {
    this.pushed++;
    for (const taker of this.#takers) {
      this.#takers.delete(taker);
      taker.detach();
      this.shifted++;
      taker.resolve(item);
      return true;
    }
    this.#items.push(item);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
    if (this.#items.length > this.highWater) this.highWater = this.#items.length;
    return true;
  }

  #removeHead(): [T, number] {
    const bytes = this.#sizes.shift() as number;
    this.#bytes -= bytes;
    return [this.#items.shift() as T, bytes];
  }

  #drop(item: T, bytes: number): void {
    this.dropped++;
    this.#onDrop?.(item, bytes);
  }

  #admitWaiting(): void {
    for (const waiter of this.#pushers) {
      if (!this.hasRoom(waiter.bytes)) return;
      this.#pushers.delete(waiter);
      waiter.detach();
      this.#append(waiter.item, waiter.bytes);
      waiter.resolve();
    }
  }

  #park<W extends Waiter<never> | Waiter<T> | PushWaiter<T>>(
    waiters: Set<W>,
    waiter: W,
    signal: AbortSignal,
  ): void {
    const onAbort = (): void => {
      waiters.delete(waiter);
      waiter.reject(abortError(signal));
      // A large item that gave up may have stood before smaller ones that fit.
      this.#admitWaiting();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    waiter.detach = () => signal.removeEventListener("abort", onAbort);
    waiters.add(waiter);
  }
}
