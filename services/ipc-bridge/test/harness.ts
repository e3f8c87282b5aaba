/** A real bridge on a real nats-server, and a scripted owner of partitions in place of the dispatchers. */
import { randomBytes } from "node:crypto";
import { type Bus, createBus, createEventSender, createTelemetrySender, ensureStreams } from "@myelin/bus";
import { checkValue } from "@myelin/config";
import {
  BatchBuilder,
  BatchView,
  control,
  createChannel,
  envelope,
  Kind,
  Lane,
  Protocol,
  Stamp,
  subjects,
} from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, tempDir, waitFor } from "@myelin/testkit";
import { type Bridge, bridgeSchema, createBridge } from "../src/index.js";

export const PARTITIONS = 4;

export type TransportName = "grpc" | "socket";

/** Everything a test of the bridge needs; disposed in reverse. */
export interface World extends AsyncDisposable {
  readonly nats: NatsServer;
  readonly bridge: Bridge;
  readonly owner: ScriptedOwner;
  /** Where an app connects. */
  target(transport: TransportName): string;
}

export async function startWorld(settings: object = {}): Promise<World> {
  const stack = new AsyncDisposableStack();
  try {
    const nats = stack.use(await startNats());
    const dir = stack.use(await tempDir("bridge"));
    const bus = await startBus(stack, nats, "bridge-0");
    const small = { maxBytes: 64 * 1024 * 1024 };
    const streams = { events: small, unrouted: small, overflow: small, dedupe: small };
    await ensureStreams(bus, { partitions: PARTITIONS, streams });
    const { value, problems } = checkValue(bridgeSchema, {
      grpc: { port: 0 },
      socket: { path: dir.join("apps.sock") },
      ...settings,
    });
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    const bridge = await createBridge(value, {
      bus,
      telemetry: createTelemetrySender(bus, { partitions: PARTITIONS }),
      events: createEventSender(bus, { partitions: PARTITIONS }),
      partitions: PARTITIONS,
      log: silentLogger,
      clock: systemClock,
      version: "test",
    });
    stack.defer(() => bridge.stop());
    await bridge.start(new AbortController().signal);
    const owner = new ScriptedOwner(await startBus(stack, nats, "owner-0"));
    await owner.start();
    const [grpc, socket] = bridge.addresses() as [string, string];
    const done = stack.move();
    return {
      nats,
      bridge,
      owner,
      target: (transport) => (transport === "grpc" ? grpc : socket),
      [Symbol.asyncDispose]: () => done.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function startBus(stack: AsyncDisposableStack, nats: NatsServer, instance: string): Promise<Bus> {
  const bus = createBus({ servers: [nats.url], instance, service: "test", logger: silentLogger });
  stack.defer(() => bus.stop());
  await bus.start(new AbortController().signal);
  return bus;
}

/** What a scripted owner sends in one batch. */
export interface Share {
  readonly app: string;
  readonly instance: string;
  readonly partition?: number;
  readonly lane?: Lane;
  readonly epoch?: number;
  readonly device?: string;
  readonly payloads: readonly string[];
}

/** Sends batches as a dispatcher would, and writes down what it hears. */
export class ScriptedOwner {
  readonly acks: control.LinkAck[] = [];
  /** The latest announcement of each bridge. */
  readonly announced = new Map<string, control.AppAnnouncement>();
  /** Decoded telemetry of the partitions' subjects: what apps publish. */
  readonly telemetry: envelope.Envelope[] = [];
  readonly #builders = new Map<string, BatchBuilder>();
  readonly #stamp = new Stamp(randomBytes(10));
  #channel = 0;

  constructor(readonly bus: Bus) {}

  async start(): Promise<void> {
    const { bus } = this;
    bus.subscribe(subjects.appAnnounce(), (data) => {
      const message = control.AppAnnouncement.decode(Buffer.from(data));
      this.announced.set(message.bridge, message);
    });
    bus.subscribe(subjects.linkAck(bus.instance), (data) =>
      this.acks.push(control.LinkAck.decode(Buffer.from(data))),
    );
    for (let p = 0; p < PARTITIONS; p++) {
      bus.subscribe(subjects.telemetryBatch(p), (data) => {
        const view = new BatchView().reset(Buffer.from(data));
        while (view.next()) this.telemetry.push(decode(view));
      });
    }
    await bus.flush();
  }

  /** Instances announced for an app that may get work. */
  instances(app: string): control.AppInstance[] {
    return [...this.announced.values()]
      .flatMap((message) => message.instances)
      .filter((i) => i.app === app && i.healthy && !i.draining);
  }

  /** Waits until so many instances of the app are announced. */
  async waitFor(app: string, count = 1): Promise<control.AppInstance[]> {
    return await waitFor(() => this.instances(app).length === count && this.instances(app), {
      what: `${count} instances of ${app}`,
    });
  }

  /** Sends one batch to the bridge. */
  deliver(share: Share, bridge = "bridge-0"): void {
    this.bus.publish(subjects.bridgeDeliver(bridge), this.batch(share));
  }

  batch(share: Share): Buffer {
    const { app, instance, partition = 0, lane = Lane.EVENT, epoch = 1, device = "d1", payloads } = share;
    const key = JSON.stringify([app, instance, partition, lane, epoch]);
    let builder = this.#builders.get(key);
    if (builder === undefined) {
      const { instance: sender, incarnation } = this.bus;
      const link = { sender, incarnation, partition, lane, target: app, targetInstance: instance };
      builder = new BatchBuilder(link, this.#stamp);
      builder.epoch = epoch;
      this.#builders.set(key, builder);
    }
    this.#stamp.tick(systemClock.wallUs());
    this.#channel += 1;
    const head = {
      tenant: "",
      deviceId: device,
      path: `devices/${device}/reading`,
      kind: Kind.TELEMETRY,
      protocol: Protocol.MQTT,
      contentType: "",
      port: "mqtt",
      profile: "",
    };
    const channel = createChannel(this.#channel, head, partition);
    for (const payload of payloads) {
      const bytes = Buffer.from(payload);
      builder.append(channel, bytes, 0, bytes.length);
    }
    return builder.finish()!;
  }

  /** The highest sequence acknowledged on a link; 0 for none. */
  ackedSequence(instance: string, partition = 0, lane: Lane = Lane.EVENT): number {
    const numbers = this.acks
      .filter((a) => a.targetInstance === instance && a.partition === partition && a.lane === lane)
      .map((a) => a.sequence);
    return Math.max(0, ...numbers);
  }

  /** Waits until a link is acknowledged up to a sequence. */
  async waitForAck(
    instance: string,
    sequence: number,
    partition = 0,
    lane: Lane = Lane.EVENT,
  ): Promise<void> {
    await waitFor(() => this.ackedSequence(instance, partition, lane) >= sequence, {
      what: `the acknowledgement of ${sequence} on partition ${partition}`,
    });
  }
}

function decode(view: BatchView): envelope.Envelope {
  return envelope.Envelope.decode(view.envelopeBytes());
}
