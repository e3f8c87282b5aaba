/** A record of the outbox: whose samples, and the block of them. */

const LENGTH_BYTES = 2;

/** Writes a record into a buffer of its own, which grows and is used again. */
export class RecordWriter {
  #buffer = Buffer.allocUnsafe(4_096);

  /** Valid until the next call. @param device at most 256 bytes, as the check of a Device has it */
  write(device: Buffer, block: Uint8Array): Buffer {
    const bytes = LENGTH_BYTES + device.length + block.length;
    if (this.#buffer.length < bytes) this.#buffer = Buffer.allocUnsafe(2 * bytes);
    this.#buffer.writeUInt16LE(device.length, 0);
    this.#buffer.set(device, LENGTH_BYTES);
    this.#buffer.set(block, LENGTH_BYTES + device.length);
    return this.#buffer.subarray(0, bytes);
  }
}

/** What a record holds; the block begins at `at`. Undefined for what is none, as an outbox of another version may have it. */
export function readRecord(record: Uint8Array): { readonly device: string; readonly at: number } | undefined {
  if (record.length < LENGTH_BYTES) return undefined;
  const at = LENGTH_BYTES + ((record[0] as number) | ((record[1] as number) << 8));
  if (at >= record.length) return undefined;
  const device = Buffer.from(record.buffer, record.byteOffset + LENGTH_BYTES, at - LENGTH_BYTES);
  return { device: device.toString("utf8"), at };
}
