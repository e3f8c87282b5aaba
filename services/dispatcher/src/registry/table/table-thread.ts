/** The thread that all tables of a process share; it runs as soon as one of them is written to. */
import { CallThread, threadFile } from "@myelin/data-store/call-thread";
import type { Clock } from "@myelin/kernel";
import type {
  Listed,
  ListQuery,
  PresenceColumns,
  TableCall,
  TableState,
  TableThreadData,
} from "./protocol.js";

const BUILT = "../../../dist/registry/table/";
/** A slow disk may be busy with what others write. */
const WRITE_MS = 60_000;
/** Below what whoever asks waits. */
const LIST_MS = 9_000;

type Put = Extract<TableCall, { op: "put" }>;

/** All of it throws AppError `store.*` besides what is said. */
export class TableThread {
  readonly #thread: CallThread<TableCall>;

  constructor(directory: string, data: TableThreadData, clock: Clock) {
    const file = threadFile(import.meta.url, BUILT, "registry-thread");
    this.#thread = new CallThread({ name: directory, file, data }, clock);
  }

  put(call: Omit<Put, "op">): Promise<TableState> {
    return this.#thread.call({ op: "put", ...call }, WRITE_MS, [call.columns.records.buffer as ArrayBuffer]);
  }

  putPresence(path: string, columns: PresenceColumns): Promise<void> {
    return this.#thread.call({ op: "presence", path, columns }, WRITE_MS);
  }

  clearPresence(path: string): Promise<void> {
    return this.#thread.call({ op: "clearPresence", path }, WRITE_MS);
  }

  list(path: string, query: ListQuery): Promise<Listed> {
    return this.#thread.call({ op: "list", path, query }, LIST_MS);
  }

  count(path: string, tenant: string, term: string): Promise<number> {
    return this.#thread.call({ op: "count", path, tenant, term }, LIST_MS);
  }

  /** The thread has the file open no longer. */
  async forget(path: string): Promise<void> {
    if (this.#thread.isRunning) await this.#thread.call({ op: "forget", path }, WRITE_MS);
  }

  stop(): Promise<void> {
    return this.#thread.stop();
  }
}
