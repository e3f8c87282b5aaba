/** What programs ask of apps and agents: who is there, what each can do, how it stands, and what waits for it. */
import {
  app,
  BUCKETS,
  control,
  enumNames,
  Kind,
  overflowOwner,
  Protocol,
  STREAMS,
  subjects,
  unescapeToken,
} from "@myelin/contract";
import { AppError, type Clock, type Component } from "@myelin/kernel";
import type { Bus, Unsubscribe } from "./api.js";
import { openKeyValue } from "./nats/key-value.js";
import { deploymentPartitions } from "./nats/streams.js";
import { createSubjectLog } from "./nats/subject-log.js";

/** A running instance of an app, as its bridge announces it. */
export interface InstanceFacts {
  readonly bridge: string;
  readonly instance: string;
  readonly healthy: boolean;
  readonly draining: boolean;
  /** Unix milliseconds since which it is connected; 0 where its bridge does not say. */
  readonly sinceMs: number;
  /** Requests that it answers. */
  readonly serves: readonly string[];
  /** Messages it has not acknowledged. */
  readonly inFlight: number;
  /** Requests it has not answered. */
  readonly openRequests: number;
}

/** One app, running or away. */
export interface AppFacts {
  readonly app: string;
  /** False: only a route names it, or it was deleted and something still waits. */
  readonly remembered: boolean;
  readonly subscriptions: readonly app.Subscription[];
  readonly instances: readonly InstanceFacts[];
  /** Batches of events that wait for it in the overflow. */
  readonly waitingBatches: number;
}

/** A hardware agent that runs. */
export interface AgentFacts {
  readonly agent: string;
  readonly node: string;
  readonly version: string;
  /** All its lines are open. */
  readonly healthy: boolean;
  readonly draining: boolean;
  /** Unix milliseconds since which it runs. */
  readonly sinceMs: number;
  /** Drivers it has. */
  readonly serves: readonly string[];
  /** Devices it drives, and how many of them answer. */
  readonly devices: number;
  readonly reachableDevices: number;
  readonly lines: number;
  readonly linesDown: number;
}

interface Heard<Message> {
  readonly message: Message;
  readonly atMs: number;
}

const kinds = enumNames(Kind);
const protocols = enumNames(Protocol);

/** Bridges and agents speak every second. */
const LISTEN_MS = 1_200;
const SILENCE_MS = 3_000;
const MAX_SPEAKERS = 1_024;
const AGENTS = "hardware-agent";

/** Listens from the first question on: that one takes a second longer than the others. */
export class AppClient implements Component {
  readonly name = "apps";
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #bridges = new Map<string, Heard<control.AppAnnouncement>>();
  readonly #agents = new Map<string, Heard<control.Heartbeat>>();
  #ends: Unsubscribe[] = [];
  #listening: Promise<void> | undefined;

  constructor(bus: Bus, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0)) end();
    this.#listening = undefined;
  }

  /** Every app that is remembered, connected, or waited for, by name. @throws AppError `bus.*` */
  async list(): Promise<AppFacts[]> {
    // Without a deployment there would be nothing to read, and opening the bucket would make one.
    await deploymentPartitions(this.#bus);
    const [records, waiting] = await Promise.all([this.#remembered(), this.waiting(), this.#listen()]);
    const running = this.#running();
    const names = new Set([...records.keys(), ...running.keys(), ...waiting.keys()]);
    return [...names].sort().map((name) => ({
      app: name,
      remembered: records.has(name),
      subscriptions: records.get(name) ?? [],
      instances: running.get(name) ?? [],
      waitingBatches: waiting.get(name) ?? 0,
    }));
  }

  /** @throws AppError `app.unknown`, `bus.*` */
  async get(name: string): Promise<AppFacts> {
    const found = (await this.list()).find((facts) => facts.app === name);
    if (found !== undefined) return found;
    throw new AppError("app.unknown", `There is no app ${name}; myelin apps list shows all.`);
  }

  /** Batches of events that wait, by app. @throws AppError `bus.*` */
  async waiting(): Promise<ReadonlyMap<string, number>> {
    const waiting = new Map<string, number>();
    const overflow = createSubjectLog(this.#bus, STREAMS.overflow.name);
    for (const [subject, batches] of await overflow.subjects(subjects.allOverflowBatches())) {
      const owner = overflowOwner(subject);
      if (owner?.kind === "app") waiting.set(owner.target, (waiting.get(owner.target) ?? 0) + batches);
    }
    return waiting;
  }

  /** Every hardware agent that runs, by name. @throws AppError `bus.*` */
  async agents(): Promise<AgentFacts[]> {
    await this.#listen();
    return this.#lately(this.#agents)
      .flatMap(({ instance, version, draining, agent }) =>
        agent === undefined ? [] : [{ agent: instance, version, draining, ...factsOf(agent) }],
      )
      .sort((a, b) => (a.agent < b.agent ? -1 : 1));
  }

  #listen(): Promise<void> {
    this.#listening ??= this.#begin().catch((err: unknown) => {
      for (const end of this.#ends.splice(0)) end();
      this.#listening = undefined;
      throw err;
    });
    return this.#listening;
  }

  async #begin(): Promise<void> {
    const bus = this.#bus;
    this.#ends = [
      bus.subscribe(subjects.appAnnounce(), (data) => {
        const message = control.AppAnnouncement.decode(data);
        this.#heard(this.#bridges, message.bridge, message);
      }),
      bus.subscribe(subjects.heartbeat(AGENTS), (data) => {
        const message = control.Heartbeat.decode(data);
        this.#heard(this.#agents, message.instance, message);
      }),
    ];
    await bus.flush();
    bus.publish(subjects.appAnnounceSync(), new Uint8Array(0));
    await this.#clock.sleep(LISTEN_MS);
  }

  #heard<Message>(all: Map<string, Heard<Message>>, name: string, message: Message): void {
    all.delete(name);
    all.set(name, { message, atMs: this.#clock.nowMs() });
    for (const oldest of all.keys()) {
      if (all.size <= MAX_SPEAKERS) break;
      all.delete(oldest);
    }
  }

  #lately<Message>(all: ReadonlyMap<string, Heard<Message>>): Message[] {
    const sinceMs = this.#clock.nowMs() - SILENCE_MS;
    return [...all.values()].filter(({ atMs }) => atMs >= sinceMs).map(({ message }) => message);
  }

  #running(): Map<string, InstanceFacts[]> {
    const running = new Map<string, InstanceFacts[]>();
    for (const { bridge, instances } of this.#lately(this.#bridges)) {
      for (const { app: name, instance, healthy, draining, serves, ...more } of instances) {
        const { sinceUs, inFlightEnvelopes: inFlight, openRequests } = more;
        const sinceMs = Math.floor(sinceUs / 1_000);
        const facts = running.get(name) ?? [];
        running.set(name, facts);
        facts.push({ bridge, instance, healthy, draining, sinceMs, serves, inFlight, openRequests });
      }
    }
    return running;
  }

  async #remembered(): Promise<Map<string, app.Subscription[]>> {
    const records = new Map<string, app.Subscription[]>();
    for (const { key, value } of await (await openKeyValue(this.#bus, BUCKETS.apps)).entries()) {
      const name = unescapeToken(key);
      if (name !== undefined) records.set(name, subscriptionsOf(value));
    }
    return records;
  }
}

/** An app as the HTTP API and `myelin apps --json` show it. */
export function appJson({ subscriptions, instances, ...facts }: AppFacts): object {
  const filters = subscriptions.map(({ kinds: ofKinds, protocols: ofProtocols, ...rest }) => ({
    ...rest,
    kinds: ofKinds.flatMap((kind) => kinds.fromWire(kind) ?? []),
    protocols: ofProtocols.flatMap((protocol) => protocols.fromWire(protocol) ?? []),
  }));
  return { ...facts, subscriptions: filters, instances: instances.map(withTime) };
}

/** A hardware agent as the HTTP API shows it. */
export function agentJson(facts: AgentFacts): object {
  return withTime(facts);
}

function withTime<Facts extends { readonly sinceMs: number }>({ sinceMs, ...facts }: Facts): object {
  return { ...facts, ...(sinceMs > 0 && { since: new Date(sinceMs).toISOString() }) };
}

function factsOf({
  node,
  sinceUs,
  serves,
  devices,
  reachableDevices,
  lines,
  linesDown,
}: control.AgentReport) {
  const sinceMs = Math.floor(sinceUs / 1_000);
  return { node, healthy: linesDown === 0, sinceMs, serves, devices, reachableDevices, lines, linesDown };
}

function subscriptionsOf(value: Uint8Array): app.Subscription[] {
  try {
    const { subscriptions } = JSON.parse(Buffer.from(value).toString("utf8")) as { subscriptions?: unknown };
    return Array.isArray(subscriptions) ? subscriptions.map((s) => app.Subscription.fromPartial(s)) : [];
  } catch {
    // Of a version to come: the app is known, what it subscribes to is not shown.
    return [];
  }
}
