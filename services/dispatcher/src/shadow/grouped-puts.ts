/** Writes of many keys at a time: what comes while a write is on its way is the next one, so that many wait for one sync of the disk. */
import type { KeyValue } from "@myelin/bus";
import { AppError } from "@myelin/kernel";

interface Put {
  readonly key: string;
  readonly value: Uint8Array;
  readonly expected: number;
  resolve(revision: number): void;
  reject(error: AppError): void;
}

/** A thousand are taken by NATS; with fewer nobody waits long for the others. */
const MAX_PUTS = 256;
const MAX_BYTES = 512 * 1024;

/** Bounded by its callers, each of which waits for what it writes. No key is written twice at a time. */
export class GroupedPuts {
  readonly #waiting: Put[] = [];
  #isWriting = false;

  /** @param open gives the bucket, which must be atomic */
  constructor(private readonly open: () => Promise<KeyValue>) {}

  /** As `KeyValue.put`. What is refused of others does it no harm. @throws AppError `store.conflict`, `bus.*` */
  put(key: string, value: Uint8Array, expected: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ key, value, expected, resolve, reject });
      if (!this.#isWriting) void this.#write();
    });
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    // What else comes in this turn goes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const puts = this.#next();
      try {
        await writeAll(await this.open(), puts);
      } catch (thrown) {
        const error = AppError.from(thrown);
        for (const { reject } of puts) reject(error);
      }
    }
    this.#isWriting = false;
  }

  #next(): readonly Put[] {
    let bytes = 0;
    let count = 0;
    for (const { value } of this.#waiting) {
      bytes += value.length;
      if (count === MAX_PUTS || (count > 0 && bytes > MAX_BYTES)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }
}

async function writeAll(bucket: KeyValue, puts: readonly Put[]): Promise<void> {
  if (puts.length > 1) {
    try {
      const revisions = await bucket.putAll(puts);
      for (const [i, { resolve }] of puts.entries()) resolve(revisions[i]!);
      return;
    } catch (thrown) {
      const { code } = AppError.from(thrown);
      // Nothing of it is written: one by one, so that one that is wrong does not refuse the others.
      if (code !== "store.conflict" && code !== "bus.refused") throw thrown;
    }
  }
  await Promise.all(
    puts.map(({ key, value, expected, resolve, reject }) =>
      bucket.put(key, value, expected).then(resolve, (thrown: unknown) => reject(AppError.from(thrown))),
    ),
  );
}
