/** Says once a second that this listener is alive; owners forget the devices of one that is silent. */
import type { Bus } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";

const EVERY_MS = 1000;

export class ListenerHeartbeat implements Component {
  readonly name = "heartbeat";
  private timer: Timer | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly version: string,
    private readonly isDraining: () => boolean,
  ) {}

  async start(): Promise<void> {
    this.timer = this.clock.setInterval(() => this.beat(), EVERY_MS).unref();
    this.beat();
  }

  async stop(): Promise<void> {
    this.clock.clear(this.timer);
    this.timer = undefined;
  }

  private beat(): void {
    const { instance, incarnation } = this.bus;
    const beat = control.Heartbeat.encode({
      service: "listener",
      instance,
      incarnation,
      atUs: this.clock.wallUs(),
      draining: this.isDraining(),
      version: this.version,
    });
    this.bus.publish(subjects.heartbeat("listener"), beat.finish());
  }
}
