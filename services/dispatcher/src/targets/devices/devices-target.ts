/** Brings messages of devices to the desk where shadows, commands and rules are. */
import { BatchView } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { type SinkBatch, SinkOutlet } from "../../core/sink-outlet.js";
import type { DeviceDesk } from "../../devices/device-desk.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

/** Batches given to the desk at once: it works in slices, and what is given back comes again as a whole. */
const GROUP = 8;

class DevicesTarget implements Target {
  readonly name = "devices";
  readonly whenLagging = "overflow";

  constructor(
    private readonly context: TargetContext,
    private readonly desk: DeviceDesk,
  ) {}

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { ports } = this.context;
    const view = new BatchView();
    const tried = new WeakSet<Buffer>();
    const write = async (batches: readonly SinkBatch[]): Promise<undefined> => {
      for (const { data } of batches) {
        const again = tried.has(data);
        tried.add(data);
        await this.desk.take(view.reset(data), way.partition, again);
      }
    };
    return new SinkOutlet({
      way,
      events,
      clock: ports.clock,
      onError: (err) =>
        ports.log.debug({ err, partition: way.partition }, "messages of devices wait, will retry"),
      writer: { maxGroup: GROUP, write },
    });
  }
}

/** Made by the dispatcher; not written in routes. */
export const devicesTarget: TargetPlugin<string> = {
  kind: "devices",
  nameOf: () => "desk",
  specOf: () => "desk",
  create: (_spec, context) => {
    if (context.desk === undefined) throw new AppError("route.invalid", "this process has no device desk");
    return new DevicesTarget(context, context.desk);
  },
};
