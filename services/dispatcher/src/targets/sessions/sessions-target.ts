/** Delivers to the home of the MQTT sessions of one partition, in whatever process it is. */
import { subjects } from "@myelin/contract";
import { CreditWindow } from "../../core/credit-window.js";
import type { LinkOutlet } from "../../core/link-outlet.js";
import { partitionOfTarget } from "../../sessions/home-directory.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

/** What may be on the way to one home from this process. */
const WINDOW_ENVELOPES = 65_536;
const WINDOW_BYTES = 8 * 1024 * 1024;

class SessionsTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly outlets = new Set<LinkOutlet>();
  private readonly partition: number;
  private window = new CreditWindow(WINDOW_ENVELOPES, WINDOW_BYTES);
  private epoch = 0;
  private release: (() => void) | undefined;

  constructor(
    target: string,
    private readonly context: TargetContext,
  ) {
    this.name = `sessions:${target}`;
    this.partition = partitionOfTarget(target);
  }

  async start(): Promise<void> {
    this.release = this.context.onChange(this.name, () => this.moved());
    this.moved();
  }

  async stop(): Promise<void> {
    this.release?.();
  }

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const outlet: LinkOutlet = this.context.links.open(
      { target: String(this.partition), way, events },
      () => {
        this.outlets.delete(outlet);
      },
    );
    this.outlets.add(outlet);
    this.assign(outlet);
    return outlet;
  }

  private moved(): void {
    const epoch = this.context.homes.epochOf(this.partition);
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      this.window = new CreditWindow(WINDOW_ENVELOPES, WINDOW_BYTES);
    }
    for (const outlet of this.outlets) this.assign(outlet);
  }

  private assign(outlet: LinkOutlet): void {
    const { epoch, partition, window } = this;
    const peer =
      epoch === 0
        ? undefined
        : {
            key: String(epoch),
            subject: subjects.sessionDeliver(partition),
            targetInstance: String(epoch),
            window,
          };
    // A home takes nothing more once another has begun.
    outlet.assign(peer, () => true);
  }
}

/** Made by the dispatcher for each partition whose sessions have filters; not written in routes. */
export const sessionsTarget: TargetPlugin<string> = {
  kind: "sessions",
  nameOf: (partition) => partition,
  specOf: (partition) => partition,
  create: (partition, context) => new SessionsTarget(partition, context),
};
