/** Keeps messages that were published with `retain` set: the last one of each topic, for subscribers to come. */
import { AppError } from "@myelin/kernel";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { RetainedOutlet } from "./retained-outlet.js";

class RetainedTarget implements Target {
  readonly name = "retained";
  readonly whenLagging = "overflow";
  private readonly outlets = new Set<RetainedOutlet>();

  constructor(private readonly context: TargetContext) {}

  async start(): Promise<void> {
    this.context.retained?.addSource({
      handedOver: async () => {
        for (const outlet of this.outlets) await outlet.handedOver();
      },
    });
  }

  async stop(): Promise<void> {}

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { ports, retained: keeper } = this.context;
    if (keeper === undefined) throw new AppError("route.invalid", "this process keeps no retained messages");
    const outlet = new RetainedOutlet({
      way,
      events,
      keeper,
      clock: ports.clock,
      onError: (err) =>
        ports.log.debug({ err, partition: way.partition }, "retained messages cannot be kept, will retry"),
      onClose: (closed) => this.outlets.delete(closed),
    });
    this.outlets.add(outlet);
    return outlet;
  }
}

/** Made by the dispatcher; not written in routes. */
export const retainedTarget: TargetPlugin<string> = {
  kind: "retained",
  nameOf: () => "messages",
  specOf: () => "messages",
  create: (_spec, context) => new RetainedTarget(context),
};
