/** A bridge with app instances that behave as the real one promises: links from 1, doubles dropped, gaps end the session. */
import { BatchView, control, type envelope, subjects } from "@myelin/contract";
import type { Network } from "./network.js";
import type { Choices } from "./random.js";
import type { SimNats, SimProcess } from "./sim-nats.js";

/** One message as an app saw it. */
export interface Seen {
  readonly device: string;
  readonly number: number;
  readonly redelivered: boolean;
}

interface Link {
  readonly hop: envelope.Hop;
  lastSequence: number;
  ordinal: number;
  readonly unacknowledged: { sequence: number; ordinal: number; count: number }[];
}

interface Session {
  readonly app: string;
  readonly instance: string;
  /** How owners know it: unique per session, so that an earlier session's batches cannot reach a later one. */
  readonly target: string;
  readonly links: Map<string, Link>;
  healthy: boolean;
}

export class SimBridge {
  readonly process: SimProcess;
  /** What each app saw, in order of delivery. */
  readonly seen = new Map<string, Seen[]>();
  private sessions: Session[] = [];
  private readonly epochs = new Map<number, number>();
  private sequence = 0;
  private connects = 0;
  private readonly view = new BatchView();

  constructor(
    private readonly nats: SimNats,
    private readonly network: Network,
    private readonly choices: Choices,
    private readonly credit: number,
  ) {
    this.process = { name: "bridge", alive: true };
    nats.subscribe(this.process, subjects.bridgeDeliver("bridge"), (data) => this.deliver(data));
    nats.subscribe(this.process, subjects.appAnnounceSync(), () => this.announce());
  }

  connect(app: string, instance: string): void {
    const target = `${instance}~${++this.connects}`;
    this.sessions.push({ app, instance, target, links: new Map(), healthy: true });
    this.announce();
  }

  /** An app instance dies with everything it has not acknowledged. */
  disconnect(instance: string): void {
    this.sessions = this.sessions.filter((s) => s.instance !== instance);
    this.announce();
  }

  setHealthy(instance: string, healthy: boolean): void {
    for (const s of this.sessions) if (s.instance === instance) s.healthy = healthy;
    this.announce();
  }

  isConnected(instance: string): boolean {
    return this.sessions.some((s) => s.instance === instance);
  }

  announce(): void {
    const announcement = control.AppAnnouncement.fromPartial({
      bridge: "bridge",
      incarnation: 7,
      sequence: ++this.sequence,
      instances: this.sessions.map(({ app, target, healthy }) => ({
        app,
        instance: target,
        healthy,
        subscriptions: [{ filter: "#" }],
        creditEnvelopes: this.credit,
        creditBytes: 1_000_000,
      })),
    });
    const bytes = control.AppAnnouncement.encode(announcement).finish();
    this.nats.publish(this.process, subjects.appAnnounce(), bytes);
  }

  /** Some app acknowledges some of what it has. */
  acknowledgeSome(all: boolean): void {
    for (const session of this.sessions) {
      for (const link of session.links.values()) {
        if (link.unacknowledged.length === 0 || (!all && this.choices.chance(0.5))) continue;
        const count = all ? link.unacknowledged.length : 1 + this.choices.below(link.unacknowledged.length);
        const last = link.unacknowledged.splice(0, count).at(-1)!;
        this.acknowledge(link.hop, last.sequence, last.ordinal);
      }
    }
  }

  /** As the real bridge does, in case an acknowledgement was lost. */
  repeatAcks(): void {
    for (const session of this.sessions) {
      for (const { hop, unacknowledged, lastSequence, ordinal } of session.links.values()) {
        if (unacknowledged.length === 0) this.acknowledge(hop, lastSequence, ordinal);
      }
    }
  }

  private acknowledge(hop: envelope.Hop, sequence: number, ordinal: number): void {
    const ack = control.LinkAck.encode({
      target: hop.target,
      targetInstance: hop.targetInstance,
      partition: hop.partition,
      lane: hop.lane,
      epoch: hop.epoch,
      sequence,
      ordinal,
      incarnation: hop.incarnation,
    }).finish();
    this.nats.publish(this.process, subjects.linkAck(hop.sender), ack);
  }

  private deliver(data: Uint8Array): void {
    const view = this.view.reset(data);
    const { hop } = view;
    if (hop.epoch < (this.epochs.get(hop.partition) ?? 0)) return;
    this.epochs.set(hop.partition, hop.epoch);
    const session = this.sessions.find((s) => s.app === hop.target && s.target === hop.targetInstance);
    if (session === undefined) return;
    const key = `${hop.partition} ${hop.lane}`;
    let link = session.links.get(key);
    if (link === undefined || link.hop.epoch !== hop.epoch) {
      link = { hop, lastSequence: 0, ordinal: 0, unacknowledged: [] };
      session.links.set(key, link);
    }
    if (hop.sequence <= link.lastSequence) return;
    if (hop.sequence !== link.lastSequence + 1 || hop.firstOrdinal !== link.ordinal) {
      this.disconnect(session.instance);
      this.network.send("bridge|reconnect", () => this.connect(session.app, session.instance));
      return;
    }
    link.lastSequence = hop.sequence;
    link.ordinal = hop.firstOrdinal + hop.count;
    link.unacknowledged.push({ sequence: hop.sequence, ordinal: link.ordinal, count: hop.count });
    const seen = this.seen.get(session.app) ?? [];
    this.seen.set(session.app, seen);
    const redelivered = (hop.flags & 32) !== 0;
    while (view.next()) {
      seen.push({ device: view.deviceId, number: Number(view.payload().toString()), redelivered });
    }
  }
}
