/** Where the presence of one partition's devices is kept over restarts: batches of changes, written at most a second later. */
import { registry } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import type { CoreLog, Ownership } from "../core/ports.js";
import { type JournalCodec, type JournalPort, JournalWriter, Replay } from "../journal/journal.js";
import type { DeviceTable } from "./table/device-table.js";

type Kept = registry.KeptPresence;

/** A change waits this long for others. */
const LAZY_MS = 500;
const PAGE = 500;
/** Of one record, roughly. */
const RECORD_BYTES = 80;
const SETTLE_MS = 1_000;

const codec: JournalCodec<Kept> = {
  encode: (batch) => registry.PresenceBatch.encode(batch).finish(),
  decode: (data) => registry.PresenceBatch.decode(data),
  sizeOf: ({ tenant, id }) => tenant.length + id.length + RECORD_BYTES,
};

export interface PresenceJournalOptions {
  readonly port: JournalPort;
  readonly ownership: Ownership;
  readonly table: DeviceTable;
  readonly clock: Clock;
  readonly log: CoreLog;
}

/** One per owned partition. */
export class PresenceJournal {
  #writer: JournalWriter<Kept> | undefined;
  #liveBytes = 0;
  #isRewriting = false;

  constructor(private readonly options: PresenceJournalOptions) {}

  /** Brings what was kept into the table; resolves when this is the only one who writes. @throws AppError `bus.*` */
  async start(signal: AbortSignal): Promise<void> {
    const { port, log, table, clock, ownership } = this.options;
    let read: Kept[] = [];
    const flush = async (): Promise<void> => {
      const kept = read;
      read = [];
      for (let from = 0; from < kept.length; from += PAGE)
        await table.putPresence(kept.slice(from, from + PAGE));
    };
    const flushing: JournalPort = {
      append: (data, after) => port.append(data, after),
      lastSequence: () => port.lastSequence(),
      removeUpTo: (sequence) => port.removeUpTo(sequence),
      read: async (from) => {
        await flush();
        return await port.read(from);
      },
    };
    // Each record says all of a device's presence, so one that is read twice, or in half a snapshot, changes nothing for the worse.
    const replay = new Replay<DeviceTable, Kept>({
      ...{ port: flushing, log, codec },
      empty: () => table,
      apply: (_table, kept) => read.push(kept),
    });
    while (!signal.aborted) {
      await replay.readOn(() => signal.aborted);
      await flush();
      const writer = new JournalWriter<Kept>(
        {
          ...{ port, clock, log, epoch: ownership.epoch, lazyMs: LAZY_MS },
          collect: () => undefined,
          onFenced: () => undefined,
        },
        codec,
        { sequence: replay.sequence, number: replay.number, bytes: replay.bytes },
      );
      try {
        await writer.begin();
        this.#writer = writer;
        return;
      } catch (err) {
        if (!AppError.is(err) || err.code !== "bus.conflict") throw err;
      }
    }
  }

  add(kept: Kept): void {
    const writer = this.#writer;
    if (writer === undefined) return;
    writer.add(kept, codec.sizeOf(kept));
    if (!this.#isRewriting && writer.shouldCompact(this.#liveBytes)) this.#rewrite(writer);
  }

  /** Writes what waits, within a second, and nothing after that. */
  async stop(): Promise<void> {
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer === undefined) return;
    const { clock } = this.options;
    const untilMs = clock.nowMs() + SETTLE_MS;
    writer.whenStored(() => undefined);
    while (!writer.idle && clock.nowMs() < untilMs) await clock.sleep(5);
    writer.close();
  }

  #rewrite(writer: JournalWriter<Kept>): void {
    this.#isRewriting = true;
    let bytes = 0;
    const counted = function* (all: Iterable<Kept>): Iterable<Kept> {
      for (const kept of all) {
        bytes += codec.sizeOf(kept);
        yield kept;
      }
    };
    writer.rewrite(counted(this.#all()), () => {
      this.#liveBytes = bytes;
      this.#isRewriting = false;
    });
  }

  *#all(): Iterable<Kept> {
    for (let after: registry.Key = { tenant: "", id: "" }; ; ) {
      const page = this.options.table.presences(after, PAGE);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return;
      after = last;
    }
  }
}
