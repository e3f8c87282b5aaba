import type { AppError } from "@myelin/kernel";

/** The callbacks of a stream, and that the last one is called once. */
export class StreamCallbacks {
  frame: ((frame: Buffer) => void) | undefined;
  drain: (() => void) | undefined;
  #close: ((error?: AppError) => void) | undefined;
  #closedWith: { readonly error: AppError | undefined } | undefined;

  get closed(): boolean {
    return this.#closedWith !== undefined;
  }

  /** A callback set after the end is called at once, so that nobody waits for ever. */
  set close(callback: (error?: AppError) => void) {
    this.#close = callback;
    if (this.#closedWith !== undefined) callback(this.#closedWith.error);
  }

  /** Ends the stream for its user; later calls do nothing. */
  finish(error?: AppError): void {
    if (this.#closedWith !== undefined) return;
    this.#closedWith = { error };
    this.frame = undefined;
    this.drain = undefined;
    this.#close?.(error);
  }
}
