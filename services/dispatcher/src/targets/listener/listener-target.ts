/** Delivers to a listener what its MQTT connections have subscribed to; the listener finds the connections. */
import { subjects } from "@myelin/contract";
import { CreditWindow } from "../../core/credit-window.js";
import type { LinkOutlet } from "../../core/link-outlet.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

/** What may be on the way to one listener from this process. */
const WINDOW_ENVELOPES = 65_536;
const WINDOW_BYTES = 8 * 1024 * 1024;

class ListenerTarget implements Target {
  readonly name: string;
  // Its subscribers are connections: when it is gone, so are they.
  readonly whenLagging = "drop";
  private readonly outlets = new Set<LinkOutlet>();
  private window = new CreditWindow(WINDOW_ENVELOPES, WINDOW_BYTES);
  private incarnation: number | undefined;
  private release: (() => void) | undefined;

  constructor(
    private readonly listener: string,
    private readonly context: TargetContext,
  ) {
    this.name = `listener:${listener}`;
  }

  async start(): Promise<void> {
    this.release = this.context.onChange(this.name, () => this.changed());
  }

  async stop(): Promise<void> {
    this.release?.();
  }

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const outlet: LinkOutlet = this.context.links.open({ target: this.listener, way, events }, () => {
      this.outlets.delete(outlet);
    });
    this.outlets.add(outlet);
    this.assign(outlet);
    return outlet;
  }

  private changed(): void {
    const incarnation = this.context.listeners.incarnationOf(this.listener);
    if (incarnation !== this.incarnation) {
      this.incarnation = incarnation;
      this.window = new CreditWindow(WINDOW_ENVELOPES, WINDOW_BYTES);
    }
    for (const outlet of this.outlets) this.assign(outlet);
  }

  private assign(outlet: LinkOutlet): void {
    const incarnation = this.context.listeners.incarnationOf(this.listener);
    const peer =
      incarnation === undefined
        ? undefined
        : {
            key: `${this.listener}\0${incarnation}`,
            subject: subjects.listenerDeliver(this.listener),
            targetInstance: "",
            window: this.window,
          };
    outlet.assign(peer, () => true);
  }
}

/** Made by the dispatcher for each listener that has subscribers; not written in routes. */
export const listenerTarget: TargetPlugin<string> = {
  kind: "listener",
  nameOf: (listener) => listener,
  create: (listener, context) => new ListenerTarget(listener, context),
};
