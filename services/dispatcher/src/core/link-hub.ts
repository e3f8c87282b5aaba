/** Brings acknowledgements to the links they belong to, and winds their clocks. */
import { control, Lane, subjects } from "@myelin/contract";
import type { Timer } from "@myelin/kernel";
import { type LinkContext, LinkOutlet, type LinkOutletOptions } from "./link-outlet.js";
import type { DispatcherPorts, Release } from "./ports.js";

const TICK_MS = 500;

/** One per process. */
export class LinkHub {
  readonly context: LinkContext;
  private readonly outlets = new Map<string, Set<LinkOutlet>>();
  private release: Release | undefined;
  private names = 0;
  private timer: Timer | undefined;

  constructor(private readonly ports: DispatcherPorts) {
    this.context = {
      sender: ports.instance,
      incarnation: ports.incarnation,
      clock: ports.clock,
      publish: (subject, data) => ports.publish(subject, data),
    };
  }

  start(): void {
    this.release = this.ports.subscribe(subjects.linkAck(this.ports.instance), (data) => this.onAck(data), {
      only: true,
    });
    this.timer = this.ports.clock.setInterval(() => this.each((outlet) => outlet.tick()), TICK_MS).unref();
  }

  stop(): void {
    this.release?.();
    this.ports.clock.clear(this.timer);
  }

  /** NATS was away: what was on the way then may be lost. */
  reconnected(): void {
    this.each((outlet) => {
      outlet.resend();
      outlet.windowOpened();
    });
  }

  /** Opens a link outlet that hears its acknowledgements until it is closed. */
  open(options: Omit<LinkOutletOptions, "context" | "onClose">, onClose: () => void): LinkOutlet {
    const key = keyOf(options.target, options.way.partition, options.way.lane === "event");
    const set = this.outlets.get(key) ?? new Set();
    this.outlets.set(key, set);
    const outlet: LinkOutlet = new LinkOutlet({
      ...options,
      context: this.context,
      onClose: () => {
        set.delete(outlet);
        if (set.size === 0 && this.outlets.get(key) === set) this.outlets.delete(key);
        onClose();
      },
    });
    set.add(outlet);
    return outlet;
  }

  /** An instance name that no link of this process has had, for receivers that come and go. */
  newInstance(listener: string): string {
    this.names += 1;
    return `${listener}#${this.names}`;
  }

  private onAck(data: Uint8Array): void {
    const ack = control.LinkAck.decode(data);
    const set = this.outlets.get(keyOf(ack.target, ack.partition, ack.lane === Lane.EVENT));
    if (set !== undefined) for (const outlet of set) outlet.acknowledged(ack);
  }

  private each(visit: (outlet: LinkOutlet) => void): void {
    for (const set of [...this.outlets.values()]) for (const outlet of [...set]) visit(outlet);
  }
}

function keyOf(target: string, partition: number, event: boolean): string {
  return `${target}\0${partition}\0${event}`;
}
