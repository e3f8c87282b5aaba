/** Tells all dispatchers which app instances are here, ends those that they refuse, and remembers what other bridges tell. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { app, control, fromAppErrorMessage, subjects } from "@myelin/contract";
import type { Clock, Timer } from "@myelin/kernel";
import type { AppSession } from "./session.js";

const EVERY_MS = 1_000;
/** Between two announcements of changes: each names all instances, so a thousand that come at once must not cause a thousand. */
const GAP_MS = 10;
/** A bridge that was silent for longer is left out of what apps are told. */
const FORGET_MS = 5_000;
const MAX_BRIDGES = 1_024;

/** One instance anywhere, as apps are told about it. */
export interface KnownInstance {
  readonly app: string;
  readonly instance: string;
  readonly bridge: string;
  readonly healthy: boolean;
  readonly draining: boolean;
  readonly serves: readonly string[];
}

/** Announces every second, at once on a change (at most every 10 ms), and when asked. */
export class Announcer {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #sessions: () => Iterable<AppSession>;
  readonly #others = new Map<string, { message: control.AppAnnouncement; atMs: number }>();
  readonly #unsubscribe: Unsubscribe[] = [];
  #timer: Timer | undefined;
  #gap: Timer | undefined;
  #sequence = 0;
  #scheduled = false;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(bus: Bus, clock: Clock, sessions: () => Iterable<AppSession>) {
    this.#bus = bus;
    this.#clock = clock;
    this.#sessions = sessions;
  }

  start(): void {
    this.#timer = this.#clock.setInterval(() => this.#announce(), EVERY_MS).unref();
    this.#unsubscribe.push(
      this.#bus.subscribe(subjects.appAnnounceSync(), () => this.#announce()),
      this.#bus.subscribe(subjects.appAnnounce(), (data) => this.#learn(data)),
      this.#bus.subscribe(subjects.allAppRefusals(), (data, subject) => this.#refused(data, subject)),
    );
    this.#announce();
  }

  /** Says that nothing is here any more. */
  stop(): void {
    this.#clock.clear(this.#timer);
    this.#clock.clear(this.#gap);
    this.#announce();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const waitMs = this.#lastMs + GAP_MS - this.#clock.nowMs();
    if (waitMs <= 0) setImmediate(() => this.#announce());
    else this.#gap = this.#clock.setTimeout(() => this.#announce(), waitMs).unref();
  }

  /** Instances on all bridges that were heard of lately. */
  *known(): Iterable<KnownInstance> {
    const nowMs = this.#clock.nowMs();
    for (const { message, atMs } of this.#others.values()) {
      if (nowMs - atMs > FORGET_MS) continue;
      const { bridge, instances } = message;
      for (const { app: name, instance, healthy, draining, serves } of instances) {
        yield { app: name, instance, bridge, healthy, draining, serves };
      }
    }
  }

  #refused(data: Uint8Array, subject: string): void {
    const error = fromAppErrorMessage(app.AppError.decode(data));
    for (const session of [...this.#sessions()]) {
      if (subjects.appRefusal(session.app) === subject) session.fail(error);
    }
  }

  #announce(): void {
    this.#scheduled = false;
    this.#lastMs = this.#clock.nowMs();
    this.#sequence += 1;
    const instances: control.AppInstance[] = [];
    for (const session of this.#sessions()) {
      if (session.deliveries === undefined) continue;
      instances.push({
        app: session.app,
        instance: session.target,
        subscriptions: [...session.subscriptions],
        healthy: session.health.healthy,
        draining: session.state === "draining",
        creditEnvelopes: session.deliveries.credit.envelopes,
        creditBytes: session.deliveries.credit.bytes,
        serves: [...session.serves],
        sinceUs: session.sinceUs,
        inFlightEnvelopes: session.deliveries.sentEnvelopes,
        openRequests: session.asked.size,
      });
    }
    const { instance: bridge, incarnation } = this.#bus;
    const message = { bridge, incarnation, instances, sequence: this.#sequence };
    this.#bus.publish(subjects.appAnnounce(), control.AppAnnouncement.encode(message).finish());
  }

  #learn(data: Uint8Array): void {
    let message: control.AppAnnouncement;
    try {
      message = control.AppAnnouncement.decode(data);
    } catch {
      // Only apps' questions about other apps are answered from this; a broken announcement is the dispatchers' to report.
      return;
    }
    this.#others.delete(message.bridge);
    this.#others.set(message.bridge, { message, atMs: this.#clock.nowMs() });
    for (const oldest of this.#others.keys()) {
      if (this.#others.size <= MAX_BRIDGES) break;
      this.#others.delete(oldest);
    }
  }
}
