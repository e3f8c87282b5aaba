/** Resources from a directory of YAML files, followed while it changes. */
import { type FSWatcher, watch as watchFiles } from "node:fs";
import { type Clock, systemClock, type Timer } from "@myelin/kernel";
import { FileSet } from "./file-set.js";
import type { ResourceSource, ResourceStatus, Snapshot } from "./resource.js";
import { directoryIdentity, type Scan, scanDirectory } from "./scan.js";

/** `onStatusChange` gets all statuses whenever any of them changes: for one log line per refusal, and counters. */
export interface FileSourceOptions {
  readonly directory: string;
  readonly clock?: Clock;
  /** Time between looks without an event. */
  readonly rescanMs?: number;
  readonly onStatusChange?: (statuses: readonly ResourceStatus[]) => void;
}

// An editor writes, renames and touches within a few milliseconds; the scan comes when it is done.
const QUIET_MS = 50;
// Something that writes without pause must not keep changes from taking effect.
const MAX_DELAY_MS = 300;
// Events get lost (network file systems, a full inotify queue, a directory made later); a look costs one stat per file.
const DEFAULT_RESCAN_MS = 2_000;
// An editor that truncates before it writes leaves an empty file for a moment; believed only when it stays empty.
const EMPTY_BELIEVED_AFTER_MS = 300;

/** Watches the directory itself, not those below it. A directory that is missing may come later. */
export class FileResourceSource implements ResourceSource {
  readonly #options: FileSourceOptions;
  readonly #clock: Clock;
  readonly #files: FileSet;
  readonly #emptySinceMs = new Map<string, number>();
  #watching = false;

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#files = new FileSet(options.directory);
  }

  statuses(): readonly ResourceStatus[] {
    return this.#files.statuses;
  }

  async *watch(signal: AbortSignal): AsyncGenerator<Snapshot> {
    if (this.#watching) return;
    this.#watching = true;
    const changes = new ChangeSignal(
      this.#options.directory,
      this.#clock,
      this.#options.rescanMs ?? DEFAULT_RESCAN_MS,
    );
    const onAbort = (): void => changes.close();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      let revision = 0;
      let shown: string | undefined;
      while (!signal.aborted) {
        changes.watch(await directoryIdentity(this.#options.directory));
        await this.#rescan(changes);
        const fingerprint = JSON.stringify(this.#files.resources);
        if (fingerprint !== shown) {
          shown = fingerprint;
          yield { revision: ++revision, resources: this.#files.resources };
        }
        if (!signal.aborted) await changes.next();
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      changes.close();
      this.#watching = false;
    }
  }

  async #rescan(changes: ChangeSignal): Promise<void> {
    const before = JSON.stringify(this.#files.statuses);
    const scan = await scanDirectory(this.#options.directory, this.#files.scanned);
    await this.#files.update(this.#holdBackEmpty(scan, changes));
    if (JSON.stringify(this.#files.statuses) !== before) this.#options.onStatusChange?.(this.#files.statuses);
  }

  #holdBackEmpty(scan: Scan, changes: ChangeSignal): Scan {
    if (scan.files === undefined) return scan;
    const nowMs = this.#clock.nowMs();
    const known = this.#files.scanned;
    const files = scan.files.map((file) => {
      const before = known.get(file.name);
      if (file.text?.trim() !== "" || before === undefined || before.text?.trim() === "") {
        this.#emptySinceMs.delete(file.name);
        return file;
      }
      const sinceMs = this.#emptySinceMs.get(file.name) ?? nowMs;
      this.#emptySinceMs.set(file.name, sinceMs);
      if (nowMs - sinceMs >= EMPTY_BELIEVED_AFTER_MS) return file;
      changes.lookAgainIn(EMPTY_BELIEVED_AFTER_MS);
      return before;
    });
    return { ...scan, files };
  }
}

/** Tells when it is time to look: soon after an event, and now and then without one. */
class ChangeSignal {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #rescanMs: number;
  #watcher: FSWatcher | undefined;
  #watched: string | undefined;
  #timer: Timer | undefined;
  #firstEventMs: number | undefined;
  #lookAtMs = Number.POSITIVE_INFINITY;
  #wake: (() => void) | undefined;
  #due = false;
  #closed = false;

  constructor(directory: string, clock: Clock, rescanMs: number) {
    this.#directory = directory;
    this.#clock = clock;
    this.#rescanMs = rescanMs;
  }

  /** Tries to follow the directory that has this identity now; where that fails, the regular look remains. */
  watch(identity: string | undefined): void {
    if (this.#closed || (this.#watcher !== undefined && this.#watched === identity)) return;
    // A watcher follows the directory it was opened on, also when another one has taken the path since.
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = identity;
    if (identity === undefined) return;
    try {
      const watcher = watchFiles(this.#directory, { persistent: false }, () => this.#event());
      this.#watcher = watcher;
      watcher.on("error", () => this.#lose(watcher));
    } catch {
      // Gone again or no inotify watches left: the next regular look tries again.
      this.#watcher = undefined;
    }
  }

  lookAgainIn(ms: number): void {
    this.#lookAtMs = Math.min(this.#lookAtMs, this.#clock.nowMs() + ms);
  }

  /** Resolves when it is time to look, or when closed. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#due || this.#closed) {
        this.#due = false;
        resolve();
        return;
      }
      this.#wake = resolve;
      if (this.#firstEventMs === undefined) {
        const waitMs = Math.min(this.#rescanMs, Math.max(0, this.#lookAtMs - this.#clock.nowMs()));
        this.#lookAtMs = Number.POSITIVE_INFINITY;
        this.#arm(waitMs);
      }
    });
  }

  close(): void {
    this.#closed = true;
    this.#clock.clear(this.#timer);
    this.#watcher?.close();
    this.#fire();
  }

  #lose(watcher: FSWatcher): void {
    watcher.close();
    if (this.#watcher === watcher) this.#watcher = undefined;
  }

  #event(): void {
    if (this.#closed) return;
    const nowMs = this.#clock.nowMs();
    this.#firstEventMs ??= nowMs;
    const latestMs = this.#firstEventMs + MAX_DELAY_MS - nowMs;
    this.#arm(Math.max(0, Math.min(QUIET_MS, latestMs)));
  }

  #arm(ms: number): void {
    this.#clock.clear(this.#timer);
    this.#timer = this.#clock.setTimeout(() => this.#fire(), ms);
  }

  #fire(): void {
    this.#firstEventMs = undefined;
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake === undefined) this.#due = true;
    else wake();
  }
}
