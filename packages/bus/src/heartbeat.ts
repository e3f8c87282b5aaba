/** Who lives: every instance says so once a second, and is taken for dead after three seconds of silence. */
import { control, subjects } from "@myelin/contract";
import { type Clock, systemClock, type Timer } from "@myelin/kernel";
import type { Bus, Heartbeat, LiveInstance, Liveness, Unsubscribe } from "./api.js";

const INTERVAL_MS = 1_000;
const SILENCE_MS = 3_000;
const CHECK_MS = 250;

interface HeartbeatOptions {
  readonly service: string;
  readonly version: string;
  readonly clock?: Clock;
  readonly agent?: () => control.AgentReport;
}

/** Heartbeats of this process for `service`. `version` is shown to operators; `agent` says how a hardware agent stands. */
export function createHeartbeat(bus: Bus, options: HeartbeatOptions): Heartbeat {
  return new BusHeartbeat(bus, options);
}

/** The live instances of `service`, this process included when it sends heartbeats. */
export function createLiveness(
  bus: Bus,
  options: { readonly service: string; readonly clock?: Clock },
): Liveness {
  return new HeartbeatLiveness(bus, options.service, options.clock ?? systemClock);
}

class BusHeartbeat implements Heartbeat {
  readonly name: string;
  readonly #bus: Bus;
  readonly #service: string;
  readonly #version: string;
  readonly #clock: Clock;
  readonly #agent: (() => control.AgentReport) | undefined;
  #draining = false;
  #beating: Timer | undefined;
  #endWatch: Unsubscribe = () => undefined;

  constructor(bus: Bus, { service, version, clock = systemClock, agent }: HeartbeatOptions) {
    this.name = `heartbeat-${service}`;
    this.#bus = bus;
    this.#service = service;
    this.#version = version;
    this.#clock = clock;
    this.#agent = agent;
  }

  async start(): Promise<void> {
    this.#beat();
    this.#beating = this.#clock.setInterval(() => this.#beat(), INTERVAL_MS);
    this.#endWatch = this.#bus.onConnectionChange((connected) => connected && this.#beat());
  }

  async stop(): Promise<void> {
    this.#clock.clear(this.#beating);
    this.#endWatch();
  }

  setDraining(draining: boolean): void {
    this.#draining = draining;
    this.#beat();
  }

  #beat(): void {
    const { instance, incarnation } = this.#bus;
    const beat = control.Heartbeat.encode({
      service: this.#service,
      instance,
      incarnation,
      atUs: this.#clock.wallUs(),
      draining: this.#draining,
      version: this.#version,
      agent: this.#agent?.(),
    });
    // Not sent: NATS is away, and the next one says it.
    this.#bus.publish(subjects.heartbeat(this.#service), beat.finish());
  }
}

interface Heard extends LiveInstance {
  lastMs: number;
}

class HeartbeatLiveness implements Liveness {
  readonly name: string;
  readonly #bus: Bus;
  readonly #service: string;
  readonly #clock: Clock;
  readonly #instances = new Map<string, Heard>();
  readonly #handlers = new Set<Parameters<Liveness["onChange"]>[0]>();
  #ends: Unsubscribe[] = [];
  #checking: Timer | undefined;

  constructor(bus: Bus, service: string, clock: Clock) {
    this.name = `liveness-${service}`;
    this.#bus = bus;
    this.#service = service;
    this.#clock = clock;
  }

  get instances(): ReadonlyMap<string, LiveInstance> {
    return this.#instances;
  }

  onChange(handlers: Parameters<Liveness["onChange"]>[0]): Unsubscribe {
    this.#handlers.add(handlers);
    return () => this.#handlers.delete(handlers);
  }

  async start(): Promise<void> {
    this.#ends = [
      this.#bus.subscribe(subjects.heartbeat(this.#service), (data) => this.#heard(data)),
      this.#bus.onConnectionChange((connected) => {
        // Nobody could be heard while NATS was away; that says nothing about anybody.
        if (connected) for (const heard of this.#instances.values()) heard.lastMs = this.#clock.nowMs();
      }),
    ];
    this.#checking = this.#clock.setInterval(() => this.#check(), CHECK_MS);
  }

  async stop(): Promise<void> {
    this.#clock.clear(this.#checking);
    for (const end of this.#ends.splice(0)) end();
  }

  #heard(data: Uint8Array): void {
    const { instance, incarnation, draining, version } = control.Heartbeat.decode(data);
    const nowMs = this.#clock.nowMs();
    const known = this.#instances.get(instance);
    const isSame = known?.incarnation === incarnation;
    const sinceMs = isSame ? known.sinceMs : nowMs;
    const heard: Heard = { instance, incarnation, draining, version, sinceMs, lastMs: nowMs };
    this.#instances.set(instance, heard);
    if (isSame) return;
    if (known !== undefined) for (const { gone } of this.#handlers) gone?.(known);
    for (const { came } of this.#handlers) came?.(heard);
  }

  #check(): void {
    if (!this.#bus.connected) return;
    const deadMs = this.#clock.nowMs() - SILENCE_MS;
    for (const heard of this.#instances.values()) {
      if (heard.lastMs > deadMs) continue;
      this.#instances.delete(heard.instance);
      for (const { gone } of this.#handlers) gone?.(heard);
    }
  }
}
