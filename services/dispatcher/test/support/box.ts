/** What the integration tests stand on: a real nats-server, connections, producers, dispatchers. */

import { fileURLToPath } from "node:url";
import { type Bus, createBus, createEventSender, createTelemetrySender, ensureStreams } from "@myelin/bus";
import { checkValue } from "@myelin/config";
import {
  type Channel,
  createChannel,
  type EnvelopeExtras,
  Kind,
  Protocol,
  partitionOf,
} from "@myelin/contract";
import { type AppError, type Component, systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { type ManagedProcess, type NatsServer, startNats, startProcess, tempDir } from "@myelin/testkit";
import {
  createDispatcher,
  type DispatcherConfig,
  type DispatcherService,
  dispatcherSchema,
} from "../../src/index.js";

export const PARTITIONS = 4;
const MIB = 1024 * 1024;

/** Defaults of the schema, with changes. */
export function settings(changes: object = {}): DispatcherConfig {
  const result = checkValue(dispatcherSchema, changes);
  return result.value as DispatcherConfig;
}

/** One producer with channels by device and path. */
export class Producer {
  private readonly channels = new Map<string, Channel>();
  private numbers = 0;

  constructor(
    private readonly telemetry: ReturnType<typeof createTelemetrySender>,
    private readonly events: ReturnType<typeof createEventSender>,
  ) {}

  channel(device: string, path: string, kind: Kind): Channel {
    const key = `${device} ${path} ${kind}`;
    let channel = this.channels.get(key);
    if (channel === undefined) {
      const head = {
        tenant: "",
        deviceId: device,
        path,
        kind,
        protocol: Protocol.MQTT,
        contentType: "application/json",
        port: "mqtt",
        profile: "",
      };
      channel = createChannel(++this.numbers, head, partitionOf("", device, PARTITIONS));
      this.channels.set(key, channel);
    }
    return channel;
  }

  send(device: string, path: string, text: string): void {
    const payload = Buffer.from(text);
    this.telemetry.append(this.channel(device, path, Kind.TELEMETRY), payload, 0, payload.length);
  }

  /** As `send`, to be kept for subscribers to come. */
  retain(device: string, path: string, text: string): void {
    const payload = Buffer.from(text);
    const channel = this.channel(device, path, Kind.TELEMETRY);
    this.telemetry.appendWith(channel, payload, 0, payload.length, { retain: true });
  }

  /** Resolves when stored. */
  event(device: string, path: string, text: string, extras?: EnvelopeExtras): Promise<void> {
    const payload = Buffer.from(text);
    return new Promise((resolve, reject) => {
      const ticket = {
        settled: (_numbers: readonly number[], _from: number, _to: number, error: AppError | undefined) => {
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const channel = this.channel(device, path, Kind.EVENT);
      this.events.append(channel, payload, 0, payload.length, ticket, 0, extras);
    });
  }
}

export class TestBox implements AsyncDisposable {
  private readonly running: Component[] = [];
  private readonly children: ManagedProcess[] = [];

  private constructor(
    readonly nats: NatsServer,
    readonly dir: Awaited<ReturnType<typeof tempDir>>,
  ) {}

  static async open(
    sizes: Partial<Record<"events" | "overflow" | "unrouted", number>> = {},
  ): Promise<TestBox> {
    const box = new TestBox(await startNats(), await tempDir("dispatcher"));
    const bus = await box.connect("setup");
    const size = (stream: keyof typeof sizes) => ({ maxBytes: sizes[stream] ?? 256 * MIB });
    const streams = {
      events: size("events"),
      unrouted: size("unrouted"),
      overflow: size("overflow"),
      dedupe: { maxBytes: 16 * MIB },
    };
    await ensureStreams(bus, { partitions: PARTITIONS, streams });
    return box;
  }

  async connect(instance: string): Promise<Bus> {
    const bus = createBus({ servers: [this.nats.url], instance, service: "test", logger: silentLogger });
    await this.start(bus);
    return bus;
  }

  async start<C extends Component>(component: C): Promise<C> {
    this.running.push(component);
    await component.start(AbortSignal.timeout(30_000));
    return component;
  }

  async stop(component: Component): Promise<void> {
    this.running.splice(this.running.indexOf(component), 1);
    await component.stop();
  }

  async producer(instance = "listener-0"): Promise<Producer> {
    return this.producerOn(await this.connect(instance));
  }

  async producerOn(bus: Bus): Promise<Producer> {
    const telemetry = await this.start(createTelemetrySender(bus, { partitions: PARTITIONS }));
    const events = await this.start(createEventSender(bus, { partitions: PARTITIONS }));
    return new Producer(telemetry, events);
  }

  /** @param before called before it is started */
  async dispatcher(
    instance: string,
    changes: object = {},
    before: (dispatcher: DispatcherService, bus: Bus) => void = () => undefined,
  ): Promise<DispatcherService> {
    const bus = await this.connect(instance);
    const dispatcher = await createDispatcher(settings(changes), {
      bus,
      partitions: PARTITIONS,
      log: silentLogger,
      clock: systemClock,
      version: "test",
      dataDir: this.dir.path,
      resourcesDir: this.dir.path,
    });
    before(dispatcher, bus);
    return await this.start(dispatcher);
  }

  /** A dispatcher in a process of its own, from what was built, with the same data directory as all others. */
  async child(instance: string, resources: readonly object[] = []): Promise<ManagedProcess> {
    const child = await startProcess({
      name: instance,
      command: process.execPath,
      args: [
        fileURLToPath(new URL("./dispatcher-process.mjs", import.meta.url)),
        this.nats.url,
        instance,
        String(PARTITIONS),
        this.dir.path,
        JSON.stringify(resources),
      ],
      ready: { line: /^ready$/ },
    });
    this.children.push(child);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.children) await child[Symbol.asyncDispose]();
    for (const component of this.running.splice(0).reverse()) await component.stop();
    await this.nats[Symbol.asyncDispose]();
    await this.dir[Symbol.asyncDispose]();
  }
}
