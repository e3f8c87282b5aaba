/** What must not be forgotten about commands: which were begun, how they ended, and which fail-safe values are due. */
import { AppError } from "@myelin/kernel";
import type { Folder, FolderFile } from "../outbox/folder.js";
import { RECORD_HEADER_BYTES, sealRecord, seedOf } from "../outbox/record.js";
import { SegmentReader } from "../outbox/segment-reader.js";
import type { CommandResult } from "./command-result.js";

const NAME = /^commands-(\d{10})\.log$/;
/** A file is written anew, with what still counts, when it has grown beyond this. */
const FILE_BYTES = 1024 * 1024;

/** A command that may have been executed. Times are Unix milliseconds. */
export interface BegunCommand {
  readonly kind: "begun";
  readonly key: string;
  readonly device: string;
  readonly command: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly atMs: number;
  /** Of the parameter that the safety envelope is about. */
  readonly value?: number | undefined;
}

/** How it ended; kept so that the same command asked for again gets the same answer. */
export interface EndedCommand {
  readonly kind: "ended";
  readonly key: string;
  readonly atMs: number;
  readonly result: CommandResult;
}

/** A fail-safe value that is written at `dueMs` unless the command comes again; 0: it was written, or is not needed any more. */
export interface ArmedFailSafe {
  readonly kind: "armed";
  readonly device: string;
  readonly command: string;
  readonly dueMs: number;
}

/** An entry. */
export type JournalEntry = BegunCommand | EndedCommand | ArmedFailSafe;

/** What is known of a command by its key. */
export interface KnownCommand {
  readonly begun: BegunCommand;
  readonly result: CommandResult | undefined;
}

/** Bounds. A key is remembered for `keepMs` at least, unless `keys` newer ones have come. */
export interface JournalLimits {
  readonly keys: number;
  readonly keepMs: number;
}

/** One folder, which nobody else writes in. Open it before anything else; one per agent. */
export class CommandJournal {
  readonly #folder: Folder;
  readonly #limits: JournalLimits;
  readonly #wallMs: () => number;
  /** In the order in which they began. */
  readonly #known = new Map<string, KnownCommand>();
  readonly #lastAllowed = new Map<string, BegunCommand>();
  readonly #armed = new Map<string, ArmedFailSafe>();
  #file: FolderFile | undefined;
  #number = 0;
  #bytes = 0;
  #waiting: { entry: JournalEntry; resolve: () => void; reject: (error: unknown) => void }[] = [];
  #writing: Promise<void> | undefined;

  constructor(folder: Folder, wallMs: () => number, limits: JournalLimits) {
    this.#folder = folder;
    this.#wallMs = wallMs;
    this.#limits = limits;
  }

  /** Reads what is there and goes on in a new file. @throws AppError `store.unavailable` */
  async open(): Promise<void> {
    try {
      const entries = await this.#folder.list();
      const numbers = entries.flatMap(({ name }) => NAME.exec(name)?.[1] ?? []).map(Number);
      for (const number of numbers.sort((a, b) => a - b)) {
        await this.#read(nameOf(number));
        this.#number = number;
      }
      await this.#begin();
    } catch (thrown) {
      const text = `the journal of commands in ${this.#folder.path} cannot be opened`;
      throw AppError.wrap("store.unavailable", text, thrown);
    }
  }

  /** What is known of this key. */
  find(key: string): KnownCommand | undefined {
    return this.#known.get(key);
  }

  /** The command of this name that began last for the device, also when it has been forgotten by its key. */
  lastBegun(device: string, command: string): BegunCommand | undefined {
    return this.#lastAllowed.get(`${device}\0${command}`);
  }

  /** Commands that began and of which nobody knows how they ended: their process has died. */
  get unsettled(): readonly BegunCommand[] {
    return [...this.#known.values()].filter(({ result }) => result === undefined).map(({ begun }) => begun);
  }

  /** Fail-safe values that wait for their time. */
  get armed(): readonly ArmedFailSafe[] {
    return [...this.#armed.values()];
  }

  /**
   * Resolves when the entry outlives a loss of power. What comes together is synced together.
   * @throws AppError `store.write_failed`: nothing may be done that relies on it
   */
  append(entry: JournalEntry): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ entry, resolve, reject });
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  /** Nothing may be appended afterwards. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #writeAll(): Promise<void> {
    // Those of one turn go together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#put(batch.map(({ entry }) => entry));
        for (const { entry, resolve } of batch) {
          this.#apply(entry);
          resolve();
        }
      } catch (thrown) {
        const error = AppError.wrap("store.write_failed", "the journal of commands took no entry", thrown);
        for (const { reject } of batch) reject(error);
      }
    }
  }

  async #put(entries: readonly JournalEntry[]): Promise<void> {
    if (this.#file === undefined || this.#bytes > FILE_BYTES) await this.#begin();
    const bytes = this.#encode(entries);
    const file = this.#file!;
    try {
      await file.write(bytes, this.#bytes);
      await file.sync();
      this.#bytes += bytes.length;
    } catch (thrown) {
      // Nobody knows what of it is there. The next entry goes to a new file.
      this.#file = undefined;
      await Promise.allSettled([file.close()]);
      throw thrown;
    }
  }

  /** A new file with all that counts; those before it are not needed any more. */
  async #begin(): Promise<void> {
    const before = this.#file;
    const old = (await this.#folder.list()).filter(({ name }) => NAME.test(name));
    this.#number += 1;
    this.#forget();
    const file = await this.#folder.create(nameOf(this.#number));
    const bytes = this.#encode(this.#all());
    await file.write(bytes, 0);
    await file.sync();
    await this.#folder.syncNames();
    this.#file = file;
    this.#bytes = bytes.length;
    await before?.close();
    for (const { name } of old) if (name !== nameOf(this.#number)) await this.#folder.remove(name);
  }

  #all(): JournalEntry[] {
    const entries: JournalEntry[] = [...this.#lastAllowed.values()];
    for (const [key, { begun, result }] of this.#known) {
      if (!entries.includes(begun)) entries.push(begun);
      if (result !== undefined) entries.push({ kind: "ended", key, atMs: begun.atMs, result });
    }
    return [...entries, ...this.#armed.values()].sort((a, b) => timeOf(a) - timeOf(b));
  }

  #encode(entries: readonly JournalEntry[]): Buffer {
    const seed = seedOf(nameOf(this.#number));
    const parts = entries.map((entry) => {
      const payload = Buffer.from(JSON.stringify(entry));
      const part = Buffer.alloc(RECORD_HEADER_BYTES + payload.length);
      part.set(payload, RECORD_HEADER_BYTES);
      sealRecord(part, 0, { payloadBytes: payload.length, samples: 1, ordinal: 0, seed });
      return part;
    });
    return Buffer.concat(parts);
  }

  async #read(name: string): Promise<void> {
    const reader = new SegmentReader(await this.#folder.openFile(name), seedOf(name));
    try {
      while (await reader.next()) {
        const { place, buffer } = reader;
        this.#apply(JSON.parse(buffer.toString("utf8", place.payloadStart, place.end)) as JournalEntry);
      }
    } finally {
      await reader.close();
    }
  }

  #apply(entry: JournalEntry): void {
    switch (entry.kind) {
      case "begun": {
        const known = this.#known.get(entry.key);
        if (known === undefined) this.#known.set(entry.key, { begun: entry, result: undefined });
        this.#lastAllowed.set(`${entry.device}\0${entry.command}`, entry);
        break;
      }
      case "ended": {
        const known = this.#known.get(entry.key);
        if (known !== undefined) this.#known.set(entry.key, { begun: known.begun, result: entry.result });
        break;
      }
      case "armed": {
        const place = `${entry.device}\0${entry.command}`;
        if (entry.dueMs > 0) this.#armed.set(place, entry);
        else this.#armed.delete(place);
      }
    }
    if (this.#known.size > this.#limits.keys) this.#forgetOldest();
  }

  /** Those that are too old, and have ended. */
  #forget(): void {
    const oldestMs = this.#wallMs() - this.#limits.keepMs;
    for (const [key, { begun, result }] of this.#known) {
      if (result !== undefined && begun.atMs < oldestMs) this.#known.delete(key);
    }
  }

  #forgetOldest(): void {
    for (const [key, { result }] of this.#known) {
      if (this.#known.size <= this.#limits.keys) return;
      if (result !== undefined) this.#known.delete(key);
    }
  }
}

function nameOf(number: number): string {
  return `commands-${String(number).padStart(10, "0")}.log`;
}

function timeOf(entry: JournalEntry): number {
  return entry.kind === "armed" ? Number.POSITIVE_INFINITY : entry.atMs;
}
