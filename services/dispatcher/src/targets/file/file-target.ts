/** Appends messages to a file, one line of JSON each. */
import { BatchView } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { type SinkBatch, SinkOutlet } from "../../core/sink-outlet.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { toJsonLine } from "./json-line.js";
import { RotatingFile } from "./rotating-file.js";

/** What stands under `file` in a route. */
export interface FileSpec {
  readonly path: string;
  readonly maxBytes?: number | undefined;
  readonly keep?: number | undefined;
}

const DEFAULT_MAX_BYTES = 256 * 1024 * 1024;
const DEFAULT_KEEP = 4;

class FileTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly view = new BatchView();
  private readonly file: RotatingFile;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    { path, maxBytes = DEFAULT_MAX_BYTES, keep = DEFAULT_KEEP }: FileSpec,
    dataDir: string,
    private readonly context: TargetContext,
  ) {
    this.name = `file:${path}`;
    this.file = new RotatingFile({ dataDir, path, maxBytes, keep });
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    await this.turn.catch(() => undefined);
    await this.file.close();
  }

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { clock, log } = this.context.ports;
    return new SinkOutlet({
      way,
      events,
      clock,
      onError: (err) => log.warn({ err, target: this.name }, "file cannot be written, will retry"),
      writer: { maxGroup: 64, write: (batches) => this.write(batches, way) },
    });
  }

  /** Partitions and lanes share the file, so they take turns. */
  private write(batches: readonly SinkBatch[], way: Way): Promise<undefined> {
    const mine = this.turn.then(async () => {
      await this.file.append(this.toLines(batches), way.lane === "event");
      return undefined;
    });
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private toLines(batches: readonly SinkBatch[]): string {
    const { view } = this;
    let lines = "";
    for (const { data } of batches) {
      view.reset(data);
      while (view.next()) lines += toJsonLine(view);
    }
    return lines;
  }
}

/** `file: { path: readings.ndjson }` */
export const fileTarget: TargetPlugin<FileSpec> = {
  kind: "file",
  nameOf: ({ path }) => path,
  create: (spec, context) => {
    if (context.dataDir === undefined) {
      throw new AppError("route.invalid", `file target ${spec.path}: this process has no data directory`);
    }
    return new FileTarget(spec, context.dataDir, context);
  },
};
