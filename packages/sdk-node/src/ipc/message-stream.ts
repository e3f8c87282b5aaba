/** The iterator style: `for await` over messages, one at a time. */
import type { Message } from "./message.js";

interface Offer {
  readonly message: Message;
  readonly handled: () => void;
}

type Waiter = (result: IteratorResult<Message>) => void;

/**
 * One per client, read by any number of loops after each other. A message counts as handled when its loop asks for the
 * next one; a loop that is left early hands its message to the next loop.
 */
export class MessageStream {
  readonly #offers: Offer[] = [];
  readonly #waiters: Waiter[] = [];
  #ended = false;

  /** The handler to consume with; resolves when a loop is done with the message. */
  readonly handle = (message: Message): Promise<void> =>
    new Promise((handled) => {
      this.#offers.push({ message, handled });
      this.#match();
    });

  /** A loop of its own. */
  messages(): AsyncIterableIterator<Message> {
    let held: Offer | undefined;
    const take = (): Promise<IteratorResult<Message>> =>
      new Promise((resolve) => {
        this.#waiters.push((result) => {
          if (result.done !== true) held = this.#taken;
          resolve(result);
        });
        this.#match();
      });
    return {
      next: () => {
        held?.handled();
        held = undefined;
        return take();
      },
      return: async () => {
        if (held !== undefined) this.#offers.unshift(held);
        held = undefined;
        this.#match();
        return END;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** Lets every loop end when it asks for its next message. */
  end(): void {
    this.#ended = true;
    this.#match();
  }

  #taken: Offer | undefined;

  #match(): void {
    while (this.#waiters.length > 0) {
      if (this.#ended) {
        this.#waiters.shift()!(END);
        continue;
      }
      const offer = this.#offers.shift();
      if (offer === undefined) return;
      this.#taken = offer;
      this.#waiters.shift()!({ done: false, value: offer.message });
    }
  }
}

const END: IteratorResult<never> = { done: true, value: undefined };
