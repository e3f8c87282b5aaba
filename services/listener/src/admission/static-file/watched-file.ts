/** One YAML file held to a schema and followed: a broken edit is refused and the last good content stays. */
import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { checkValue, formatPath, formatValue, type Infer, parseYaml, type Schema } from "@myelin/config";
import { AppError, type Clock, type Timer } from "@myelin/kernel";

/** Editors write, rename and touch within a few milliseconds. */
const QUIET_MS = 100;
/** Events get lost on network file systems. */
const RESCAN_MS = 5_000;
const MAX_FILE_BYTES = 64 * 1024 * 1024;

export interface WatchedFileOptions<S extends Schema> {
  readonly path: string;
  readonly schema: S;
  readonly clock: Clock;
  /** Takes good content into use. @throws AppError `config.invalid` for what the schema cannot see */
  readonly onContent: (content: Infer<S>) => void;
  /** Told once per refused edit. */
  readonly onRefused: (error: AppError) => void;
}

export class WatchedFile<S extends Schema> {
  private watcher: FSWatcher | undefined;
  private quiet: Timer | undefined;
  private rescan: Timer | undefined;
  private text: string | undefined;
  private stopped = false;

  constructor(private readonly options: WatchedFileOptions<S>) {}

  /** Reads the file for the first time. @throws AppError `config.unreadable`, `config.invalid` */
  async start(): Promise<void> {
    await this.load();
    const { path, clock } = this.options;
    this.rescan = clock.setInterval(() => void this.reload(), RESCAN_MS).unref();
    try {
      // The directory, not the file: editors replace files, and a watch on the old one would see nothing more.
      this.watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
        if (name === null || name === basename(path)) this.changed();
      });
      // Without events the rescan finds the change a little later.
      this.watcher.on("error", () => this.watcher?.close());
    } catch {
      this.watcher = undefined;
    }
  }

  stop(): void {
    this.stopped = true;
    this.watcher?.close();
    this.options.clock.clear(this.quiet);
    this.options.clock.clear(this.rescan);
  }

  private changed(): void {
    this.options.clock.clear(this.quiet);
    this.quiet = this.options.clock.setTimeout(() => void this.reload(), QUIET_MS);
  }

  private async reload(): Promise<void> {
    try {
      await this.load();
    } catch (thrown) {
      if (!this.stopped) this.options.onRefused(AppError.from(thrown));
    }
  }

  private async load(): Promise<void> {
    const { path, schema, onContent } = this.options;
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (cause) {
      throw new AppError("config.unreadable", `cannot read ${path}`, { cause });
    }
    if (this.stopped || text === this.text) return;
    // Remembered also when refused: one complaint per edit.
    this.text = text;
    if (text.length > MAX_FILE_BYTES) throw new AppError("config.invalid", `${path} is over 64 MiB`);
    const { documents, errors } = await parseYaml(text);
    const broken = errors[0];
    if (broken !== undefined) {
      throw new AppError("config.invalid", `${path}:${broken.line}: ${broken.message}`);
    }
    if (documents.length !== 1) {
      throw new AppError(
        "config.invalid",
        `${path} holds ${documents.length} documents where there must be one`,
      );
    }
    const document = documents[0]!;
    const { value, problems } = checkValue(schema, document.value);
    if (problems.length > 0) {
      const lines = problems.map(
        (p) =>
          `${path}:${document.lineOf(p.path)}: ${formatPath(p.path)}: ${formatValue(p.value)} must be ${p.rule}`,
      );
      throw new AppError("config.invalid", lines.join("\n"), { details: { path, problems } });
    }
    onContent(value);
  }
}
