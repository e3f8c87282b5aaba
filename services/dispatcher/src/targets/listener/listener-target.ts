/** Delivers to a listener what its MQTT connections have subscribed to; the listener finds the connections. */
import { subjects } from "@myelin/contract";
import { CreditWindow } from "../../core/credit-window.js";
import type { LinkOutlet } from "../../core/link-outlet.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

/** What telemetry may be on the way to one listener from this process. */
const WINDOW_ENVELOPES = 65_536;
const WINDOW_BYTES = 8 * 1024 * 1024;

class ListenerTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly outlets = new Map<LinkOutlet, Way>();
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

  /** Its subscribers are connections: when it is gone, so are they. */
  keptFor(): string | undefined {
    const { listeners } = this.context;
    const incarnation = listeners.incarnationOf(this.listener);
    if (incarnation !== undefined) return String(incarnation);
    return listeners.knowsAll ? undefined : "";
  }

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const outlet: LinkOutlet = this.context.links.open({ target: this.listener, way, events }, () => {
      this.outlets.delete(outlet);
    });
    this.outlets.set(outlet, way);
    this.assign(outlet, way);
    return outlet;
  }

  private changed(): void {
    const incarnation = this.context.listeners.incarnationOf(this.listener);
    if (incarnation !== this.incarnation) {
      this.incarnation = incarnation;
      this.window = new CreditWindow(WINDOW_ENVELOPES, WINDOW_BYTES);
    }
    for (const [outlet, way] of this.outlets) this.assign(outlet, way);
  }

  private assign(outlet: LinkOutlet, way: Way): void {
    const { listeners } = this.context;
    const incarnation = listeners.incarnationOf(this.listener);
    const events = way.lane === "event" ? listeners.eventWindowOf(this.listener) : undefined;
    const peer =
      incarnation === undefined
        ? undefined
        : {
            key: `${this.listener}\0${incarnation}`,
            subject: subjects.listenerDeliver(this.listener),
            targetInstance: "",
            window: events ?? this.window,
          };
    outlet.assign(peer, () => true);
  }
}

/** Made by the dispatcher for each listener that has subscribers; not written in routes. */
export const listenerTarget: TargetPlugin<string> = {
  kind: "listener",
  nameOf: (listener) => listener,
  specOf: (listener) => listener,
  create: (listener, context) => new ListenerTarget(listener, context),
};
