/** Keeps events that no route and no subscription wanted, in a stream of their own. */
import { SinkOutlet } from "../../core/sink-outlet.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

class UnroutedTarget implements Target {
  readonly name = "unrouted";
  // They are kept nowhere else, so when their stream is full the partition waits and, in the end, senders are refused.
  readonly whenLagging = "hold";

  constructor(private readonly context: TargetContext) {}

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { ports } = this.context;
    return new SinkOutlet({
      way,
      events,
      clock: ports.clock,
      onError: (err) =>
        ports.log.warn({ err, partition: way.partition }, "unrouted events cannot be kept, will retry"),
      writer: {
        maxGroup: 16,
        write: async (batches) => {
          for (const { data, sourceSequence } of batches) {
            await ports.storeUnrouted(way.partition, data, `unrouted.${way.partition}.${sourceSequence}`);
          }
          return undefined;
        },
      },
    });
  }
}

/** Made by the dispatcher; not written in routes. */
export const unroutedTarget: TargetPlugin<string> = {
  kind: "unrouted",
  nameOf: () => "events",
  create: (_spec, context) => new UnroutedTarget(context),
};
