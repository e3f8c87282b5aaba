/** Keeps events that no route and no subscription wanted, in a stream of their own. */
import { SinkOutlet } from "../../core/sink-outlet.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

class UnroutedTarget implements Target {
  readonly name = "unrouted";
  // They are kept nowhere else. Senders are refused before their stream is full, see `EventDoor`.
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
          const { partition } = way;
          // All at once: the stream keeps them in order, and knows those again that are tried once more.
          await Promise.all(
            batches.map(({ data, sourceSequence }) =>
              ports.storeUnrouted(partition, data, `unrouted.${partition}.${sourceSequence}`),
            ),
          );
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
