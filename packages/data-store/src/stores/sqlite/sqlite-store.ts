/** Readings in a SQLite file. The event loop never waits for it: one thread writes, another one reads. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { abortError, type Clock } from "@myelin/kernel";
import type {
  Aggregate,
  AggregateQuery,
  DataStore,
  LatestQuery,
  Page,
  RangeQuery,
  Reading,
} from "../../data-store.js";
import { GroupWriter } from "../../group-writer.js";
import { checkPage, checkRange } from "../../queries.js";
import type { ReadingBlock } from "../../reading-block.js";
import { CallThread, threadFile } from "../../thread/call-thread.js";
import type { Call, Removed, ThreadOptions, Written } from "./protocol.js";

/** Where the file is, and how it is written. */
export interface SqliteStoreOptions {
  /** Made with its folder when it is not there. */
  readonly path: string;
  /** When the file has this size, what does not fit is refused with `store.full`. */
  readonly maxBytes: number;
  /** Readings that are written in one transaction, at most, and how long the first of them waits for others. */
  readonly batchReadings: number;
  readonly batchWaitMs: number;
  readonly clock: Clock;
}

const BUILT = "../../../dist/stores/sqlite/";
const WRITE_MS = 60_000;
const QUERY_MS = 30_000;
const REMOVE_ROWS = 20_000;

/** Several processes of one machine may have the same file open. */
export class SqliteStore implements DataStore {
  readonly name: string;
  /** Of the file, without what is free in it; as of the last write. */
  bytes = 0;
  private readonly writer: CallThread<Call>;
  private readonly reader: CallThread<Call>;
  private readonly groups: GroupWriter;
  private ready: Promise<unknown> | undefined;

  constructor(private readonly options: SqliteStoreOptions) {
    const { path, maxBytes, clock, batchReadings: maxReadings, batchWaitMs: waitMs } = options;
    this.name = `sqlite:${path}`;
    const thread = (role: ThreadOptions["role"]): CallThread<Call> =>
      new CallThread(
        {
          name: path,
          file: threadFile(import.meta.url, BUILT, "sqlite-thread"),
          data: { path, maxBytes, role },
        },
        clock,
      );
    this.writer = thread("writer");
    this.reader = thread("reader");
    this.groups = new GroupWriter({ clock, maxReadings, waitMs, write: (blocks) => this.writeGroup(blocks) });
  }

  async start(): Promise<void> {
    await this.opened();
  }

  async stop(): Promise<void> {
    this.groups.stop();
    await Promise.all([this.writer.stop(), this.reader.stop()]);
    this.ready = undefined;
  }

  write(block: ReadingBlock): Promise<void> {
    return this.groups.write(block);
  }

  async range(query: RangeQuery): Promise<Page<Reading>> {
    checkRange(query);
    await this.opened();
    return await this.reader.call({ op: "range", query }, QUERY_MS);
  }

  async aggregate(query: AggregateQuery): Promise<Page<Aggregate>> {
    checkRange(query);
    await this.opened();
    return await this.reader.call({ op: "aggregate", query }, QUERY_MS);
  }

  async latest(query: LatestQuery): Promise<Page<Reading>> {
    checkPage(query);
    await this.opened();
    return await this.reader.call({ op: "latest", query }, QUERY_MS);
  }

  async removeBefore(beforeUs: number, signal: AbortSignal): Promise<number> {
    let removed = 0;
    for (let afterSeries: number | undefined = 0; afterSeries !== undefined; ) {
      if (signal.aborted) throw abortError(signal);
      await this.opened();
      const step: Removed = await this.writer.call(
        { op: "remove", beforeUs, afterSeries, rows: REMOVE_ROWS },
        WRITE_MS,
      );
      removed += step.rows;
      afterSeries = step.afterSeries;
    }
    return removed;
  }

  /** The writer makes the file, which the reader needs. */
  private async opened(): Promise<void> {
    this.ready ??= this.open();
    try {
      await this.ready;
    } catch (thrown) {
      this.ready = undefined;
      throw thrown;
    }
  }

  private async open(): Promise<void> {
    await mkdir(dirname(this.options.path), { recursive: true });
    const { bytes }: Written = await this.writer.call({ op: "write", blocks: [] }, WRITE_MS);
    this.bytes = bytes;
  }

  private async writeGroup(blocks: readonly ReadingBlock[]): Promise<void> {
    await this.opened();
    const columns = blocks.map((block) => block.columns());
    const transfer = columns.flatMap(({ seriesOf, timeUs, ref, kind, quality, value }) =>
      [seriesOf, timeUs, ref, kind, quality, value].map(({ buffer }) => buffer),
    );
    const { bytes }: Written = await this.writer.call({ op: "write", blocks: columns }, WRITE_MS, transfer);
    this.bytes = bytes;
  }
}
