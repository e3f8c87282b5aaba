/** Counts what was handed to the NATS client and has not reached the server, because the client itself buffers without bound. */

/** Bytes between two marks; each mark is one PING behind the data. */
const MARK_BYTES = 256 * 1024;

/**
 * After every 256 KiB a mark follows the data through the connection; when it has come back, the server has read everything
 * before it. Costs one promise per mark and nothing per message.
 */
export class UnflushedBytes {
  #bytes = 0;
  #sinceMark = 0;
  #connection = 0;

  /** What may be unread by the server: never too low, too high by less than one mark. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Call after each publish. `mark` resolves when what went before has reached the server, and rejects when the connection broke. */
  add(bytes: number, mark: () => Promise<void>): void {
    this.#bytes += bytes;
    this.#sinceMark += bytes;
    if (this.#sinceMark < MARK_BYTES) return;
    const marked = this.#sinceMark;
    const connection = this.#connection;
    this.#sinceMark = 0;
    mark().then(
      () => {
        if (connection === this.#connection) this.#bytes -= marked;
      },
      // The connection is gone and `reset` has forgotten its bytes.
      () => undefined,
    );
  }

  /** The connection is gone, and the client's buffers with it. */
  reset(): void {
    this.#connection += 1;
    this.#bytes = 0;
    this.#sinceMark = 0;
  }
}
