/** The audit log of one partition: each batch names the hash of the one before. */
import { auditHash } from "@myelin/bus";
import { audit as wire } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { CoreLog } from "../core/ports.js";
import { type JournalCodec, type JournalPort, JournalWriter, SNAPSHOT } from "../journal/journal.js";

/** One per owned partition. What is added is written soon, in order, and tried until it is. */
export class AuditLog {
  readonly #writer: JournalWriter<wire.Entry>;

  private constructor(writer: JournalWriter<wire.Entry>) {
    this.#writer = writer;
  }

  /**
   * Finds the end of what is there, and goes on behind it.
   * @throws AppError `bus.*`, `bus.conflict` when somebody else writes
   */
  static async open(options: {
    readonly port: JournalPort;
    readonly epoch: number;
    readonly clock: Clock;
    readonly log: CoreLog;
    /** Called when somebody else has written: this owner is none any more. */
    readonly onFenced: () => void;
  }): Promise<AuditLog> {
    const { port } = options;
    const sequence = await port.lastSequence();
    const last =
      sequence === 0 ? undefined : (await port.read(sequence)).find((one) => one.sequence === sequence);
    const number = last === undefined ? 0 : wire.Batch.decode(last.data).number;
    const writer = new JournalWriter<wire.Entry>(
      { ...options, lazyMs: LAZY_MS, collect: () => undefined },
      chained(number, last === undefined ? EMPTY : auditHash(last.data)),
      { sequence, number, bytes: 0 },
    );
    await writer.begin();
    return new AuditLog(writer);
  }

  add(entry: wire.Entry): void {
    this.#writer.add(entry, 256 + entry.details.length);
  }

  /** Calls back when all that was added so far is stored. */
  whenStored(stored: () => void): void {
    this.#writer.whenStored(stored);
  }

  /** Nothing waits to be written. */
  get idle(): boolean {
    return this.#writer.idle;
  }

  close(): void {
    this.#writer.close();
  }
}

const LAZY_MS = 50;
const EMPTY = Buffer.alloc(0);

/** Batches are encoded in the order of their numbers; one whose writing has failed, again with the same content. */
function chained(number: number, hash: Buffer): JournalCodec<wire.Entry> {
  let last = { number, hash, before: EMPTY as Buffer };
  return {
    encode({ epoch, number: next, records }) {
      const previous = next === last.number ? last.before : last.hash;
      const data = wire.Batch.encode({ epoch, number: next, previous, entries: records }).finish();
      last = { number: next, hash: auditHash(data), before: previous };
      return data;
    },
    decode(data) {
      const { epoch, number: found, entries } = wire.Batch.decode(data);
      return { epoch, number: found, snapshot: SNAPSHOT.none, records: entries };
    },
    sizeOf: ({ details }) => 256 + details.length,
  };
}
