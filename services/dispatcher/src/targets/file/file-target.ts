/** Appends messages to a file, one line of JSON each. */
import { BATCH_FLAGS, BatchView } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { isExpired } from "../../core/expiry.js";
import { type SinkBatch, SinkOutlet } from "../../core/sink-outlet.js";
import type { LeftOut, Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { toJsonLine } from "./json-line.js";
import { RotatingFile, type Rotation } from "./rotating-file.js";

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
    spec: FileSpec,
    dataDir: string,
    private readonly context: TargetContext,
  ) {
    const { path } = spec;
    const { instance, log } = context.ports;
    this.name = `file:${path}`;
    this.file = new RotatingFile({
      dataDir,
      path,
      instance,
      rotation: rotationOf(spec),
      onShared: (file) =>
        log.warn(
          { target: this.name, file },
          "another instance writes this file, so this one writes beside it",
        ),
    });
  }

  configure(spec: FileSpec): void {
    this.file.rotation = rotationOf(spec);
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
  private write(batches: readonly SinkBatch[], way: Way): Promise<readonly LeftOut[]> {
    const mine = this.turn.then(async () => {
      const { lines, leftOut } = this.toLines(batches);
      await this.file.append(lines, way.lane === "event");
      return leftOut;
    });
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private toLines(batches: readonly SinkBatch[]): { lines: string; leftOut: LeftOut[] } {
    const { view } = this;
    const nowUs = this.context.ports.clock.wallUs();
    let lines = "";
    const leftOut = batches.map(({ data }) => {
      let expired = 0;
      view.reset(data);
      const careful = (view.hop.flags & BATCH_FLAGS.expiry) !== 0;
      while (view.next()) {
        if (careful && isExpired(view, nowUs)) expired++;
        else lines += toJsonLine(view);
      }
      return { expired, refused: 0 };
    });
    return { lines, leftOut };
  }
}

function rotationOf({ maxBytes = DEFAULT_MAX_BYTES, keep = DEFAULT_KEEP }: FileSpec): Rotation {
  return { maxBytes, keep };
}

/** `file: { path: readings.ndjson }` */
export const fileTarget: TargetPlugin<FileSpec> = {
  kind: "file",
  nameOf: ({ path }) => path,
  specOf: (path) => ({ path }),
  create: (spec, context) => {
    if (context.dataDir === undefined) {
      throw new AppError("route.invalid", `file target ${spec.path}: this process has no data directory`);
    }
    return new FileTarget(spec, context.dataDir, context);
  },
};
