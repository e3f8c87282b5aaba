/** Keeps messages as readings in the store of a sink. */
import { BATCH_FLAGS, BatchView } from "@myelin/contract";
import { ReadingBlock } from "@myelin/data-store";
import { AppError } from "@myelin/kernel";
import type { Profile } from "@myelin/profile";
import { isExpired } from "../../core/expiry.js";
import { type SinkBatch, SinkOutlet } from "../../core/sink-outlet.js";
import type { Sink } from "../../history/sinks.js";
import type { LeftOut, Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { Mapper } from "./mapping.js";

class SinkTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly view = new BatchView();
  private mapper: { readonly of: unknown; readonly mapper: Mapper } | undefined;

  constructor(
    private readonly sinkName: string,
    private readonly context: TargetContext,
  ) {
    this.name = `sink:${sinkName}`;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  openOutlet(way: Way, events: OutletEvents): Outlet {
    return new SinkOutlet({
      way,
      events,
      clock: this.context.ports.clock,
      onError: (err) => {
        // Nothing that its store has to do with.
        if (err.code !== "target.unavailable") this.context.sinks?.failed(this.sinkName, err);
      },
      writer: { maxGroup: 64, write: (batches) => this.write(batches) },
    });
  }

  /** Partitions and lanes write at the same time; the store gathers what they write. */
  private async write(batches: readonly SinkBatch[]): Promise<readonly LeftOut[]> {
    // Looked up each time: the resource may have changed, or be gone.
    const { sinks } = this.context;
    const sink = sinks?.get(this.sinkName);
    if (sink === undefined) throw new AppError("target.unavailable", `there is no sink ${this.sinkName}`);
    const block = new ReadingBlock();
    const leftOut = this.map(batches, sink, block);
    const { count } = block;
    await sink.store.write(block);
    if (count > 0) sinks?.took(sink, count);
    return leftOut;
  }

  private map(batches: readonly SinkBatch[], sink: Sink, block: ReadingBlock): readonly LeftOut[] {
    const { view } = this;
    const mapper = this.mapperOf(sink);
    const nowUs = this.context.ports.clock.wallUs();
    return batches.map(({ data }) => {
      let expired = 0;
      view.reset(data);
      const mayExpire = (view.hop.flags & BATCH_FLAGS.expiry) !== 0;
      while (view.next()) {
        if (mayExpire && isExpired(view, nowUs)) expired += 1;
        else if (mapper.map(view, block, mapper.isByProfile ? this.profileOf(view) : undefined) === 0)
          sink.counts.skipped += 1;
      }
      return { expired, refused: 0 };
    });
  }

  /** @throws AppError `target.unavailable`: what a device is must be known before its series have names */
  private profileOf({ tenant, deviceId }: BatchView): Profile | undefined {
    const profile = this.context.profileOf?.(tenant, deviceId);
    if (profile !== "unknown") return profile;
    throw new AppError("target.unavailable", "the records of the devices are being read");
  }

  private mapperOf({ spec: { mapping } }: Sink): Mapper {
    if (this.mapper?.of !== mapping) this.mapper = { of: mapping, mapper: new Mapper(mapping) };
    return this.mapper.mapper;
  }
}

/** `sink: history` */
export const sinkTarget: TargetPlugin<string> = {
  kind: "sink",
  nameOf: (sink) => sink,
  specOf: (name) => name,
  create: (name, context) => {
    if (context.dataDir === undefined) {
      throw new AppError("route.invalid", `sink ${name}: this process has no data directory`);
    }
    if (context.sinks?.get(name) === undefined) {
      throw new AppError("route.invalid", `there is no Sink ${name}`);
    }
    return new SinkTarget(name, context);
  },
};
