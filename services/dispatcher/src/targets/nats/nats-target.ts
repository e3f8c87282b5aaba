/** Publishes each message on a NATS subject of the operator's choice. */
import { BatchView } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { type SinkBatch, SinkOutlet } from "../../core/sink-outlet.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { messageHeaders } from "./headers.js";

class NatsTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly view = new BatchView();

  constructor(
    private readonly subject: string,
    private readonly context: TargetContext,
  ) {
    this.name = `nats:${subject}`;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { clock, log } = this.context.ports;
    return new SinkOutlet({
      way,
      events,
      clock,
      onError: (err) => log.debug({ err, target: this.name }, "messages cannot be published, will retry"),
      writer: { maxGroup: 64, write: (batches) => this.write(batches, way) },
    });
  }

  private async write(batches: readonly SinkBatch[], way: Way): Promise<undefined> {
    const { external } = this.context.ports;
    const { view, subject } = this;
    for (const { data } of batches) {
      view.reset(data);
      while (view.next()) {
        if (!external.publish(subject, view.payload(), messageHeaders(view))) {
          throw new AppError("bus.disconnected", `NATS takes nothing for ${subject} at the moment`);
        }
      }
    }
    // The server has read everything when it answers; a stream that listens there has it then.
    if (way.lane === "event") await external.flush();
    return undefined;
  }
}

/** `nats: plant.readings` */
export const natsTarget: TargetPlugin<string> = {
  kind: "nats",
  nameOf: (subject) => subject,
  create: (subject, context) => new NatsTarget(subject, context),
};
