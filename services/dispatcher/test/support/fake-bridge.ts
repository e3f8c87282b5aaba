/** A bridge as dispatchers see it, on a real bus, with apps that do what the test says. */
import type { Bus } from "@myelin/bus";
import { type app, BatchView, control, type Kind, Lane, subjects } from "@myelin/contract";

/** One message as an app saw it. */
export interface Seen {
  readonly device: string;
  readonly path: string;
  readonly text: string;
  readonly lane: Lane;
  readonly redelivered: boolean;
}

interface FakeApp {
  readonly name: string;
  readonly target: string;
  readonly subscriptions: app.Subscription[];
  readonly seen: Seen[];
  /** False: events are kept and not acknowledged. */
  acknowledges: boolean;
  readonly owed: (() => void)[];
  readonly links: Map<string, { epoch: number; sequence: number }>;
}

const ANNOUNCE_MS = 500;

export class FakeBridge implements AsyncDisposable {
  readonly apps = new Map<string, FakeApp>();
  private readonly ends: (() => void)[] = [];
  private readonly timer: NodeJS.Timeout;
  private sequence = 0;
  private readonly view = new BatchView();
  private readonly epochs = new Map<number, number>();

  constructor(
    private readonly bus: Bus,
    readonly name = "bridge-0",
  ) {
    this.ends.push(
      bus.subscribe(subjects.bridgeDeliver(name), (data) => this.deliver(data)),
      bus.subscribe(subjects.appAnnounceSync(), () => this.announce()),
    );
    this.timer = setInterval(() => this.announce(), ANNOUNCE_MS);
  }

  connect(name: string, filters: readonly string[], kinds: readonly Kind[] = []): FakeApp {
    const subscriptions = filters.map((filter) => ({
      filter,
      deviceIds: [],
      kinds: [...kinds],
      protocols: [],
      ports: [],
    }));
    const known = this.apps.get(name);
    const made: FakeApp = {
      name,
      target: `${name}-${++this.sequence}`,
      subscriptions,
      seen: known?.seen ?? [],
      acknowledges: true,
      owed: [],
      links: new Map(),
    };
    this.apps.set(name, made);
    this.announce();
    return made;
  }

  /** The app dies with what it has not acknowledged. What it saw is kept. */
  disconnect(name: string): void {
    this.apps.delete(name);
    this.announce();
  }

  /** Acknowledges what was kept back and everything from now on. */
  relent(name: string): void {
    const found = this.apps.get(name)!;
    found.acknowledges = true;
    for (const acknowledge of found.owed.splice(0)) acknowledge();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.timer);
    for (const end of this.ends) end();
  }

  private announce(): void {
    const announcement = control.AppAnnouncement.fromPartial({
      bridge: this.name,
      incarnation: this.bus.incarnation,
      sequence: ++this.sequence,
      instances: [...this.apps.values()].map((a) => ({
        app: a.name,
        instance: a.target,
        subscriptions: a.subscriptions,
        healthy: true,
        creditEnvelopes: 4096,
        creditBytes: 4 * 1024 * 1024,
      })),
    });
    this.bus.publish(subjects.appAnnounce(), control.AppAnnouncement.encode(announcement).finish());
  }

  private deliver(data: Uint8Array): void {
    const view = this.view.reset(data);
    const { hop } = view;
    if (hop.epoch < (this.epochs.get(hop.partition) ?? 0)) return;
    this.epochs.set(hop.partition, hop.epoch);
    const found = this.apps.get(hop.target);
    if (found === undefined || found.target !== hop.targetInstance) return;
    const key = `${hop.partition} ${hop.lane}`;
    const link = found.links.get(key);
    const last = link?.epoch === hop.epoch ? link.sequence : 0;
    if (hop.sequence <= last) return;
    if (hop.sequence !== last + 1) throw new Error(`gap on ${key}: ${last} then ${hop.sequence}`);
    found.links.set(key, { epoch: hop.epoch, sequence: hop.sequence });
    while (view.next()) {
      found.seen.push({
        device: view.deviceId,
        path: view.path,
        text: view.payload().toString(),
        lane: hop.lane,
        redelivered: (hop.flags & 32) !== 0,
      });
    }
    const acknowledge = (): void => {
      const ack = control.LinkAck.encode({
        target: hop.target,
        targetInstance: hop.targetInstance,
        partition: hop.partition,
        lane: hop.lane,
        epoch: hop.epoch,
        sequence: hop.sequence,
        ordinal: hop.firstOrdinal + hop.count,
        incarnation: hop.incarnation,
      });
      this.bus.publish(subjects.linkAck(hop.sender), ack.finish());
    };
    if (found.acknowledges || hop.lane === Lane.TELEMETRY) acknowledge();
    else found.owed.push(acknowledge);
  }
}
