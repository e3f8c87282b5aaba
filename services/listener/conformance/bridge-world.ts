/** A deployment with bridges, brokers for them to lead to, and clients at either end. */
import { createBus } from "@myelin/bus";
import { checkValue, parseResources, type Resource, type Snapshot } from "@myelin/config";
import { createDispatcher, type DispatcherConfig, dispatcherSchema } from "@myelin/dispatcher";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, tempDir, waitFor } from "@myelin/testkit";
import { connectAsync, type IClientOptions, type IPublishPacket, type MqttClient } from "mqtt";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";

/** A message as a client got it. */
export interface Got {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly packet: IPublishPacket;
}

/** A stock client. */
export class Client implements AsyncDisposable {
  readonly got: Got[] = [];

  private constructor(readonly mqtt: MqttClient) {}

  static async open(port: number, clientId: string, more: IClientOptions = {}): Promise<Client> {
    const mqtt = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId, reconnectPeriod: 100, ...more });
    mqtt.on("error", () => undefined);
    const client = new Client(mqtt);
    mqtt.on("message", (topic, payload, packet) => {
      client.got.push({ topic, text: payload.toString(), qos: packet.qos, retain: packet.retain, packet });
    });
    return client;
  }

  async have(count: number, deadlineMs = 20_000): Promise<string[]> {
    await waitFor(() => this.got.length >= count, {
      what: `${count} messages, ${this.got.length} are there`,
      deadlineMs,
    });
    return this.got.map(({ text }) => text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mqtt.endAsync(true);
  }
}

export class BridgeWorld implements AsyncDisposable {
  readonly stack = new AsyncDisposableStack();
  readonly rigs: Rig[] = [];

  private constructor(readonly nats: NatsServer) {}

  /** One dispatcher, and so many listeners. */
  static async open(listeners = 1, settings: object = {}): Promise<BridgeWorld> {
    const nats = await startNats();
    const world = new BridgeWorld(nats);
    world.stack.use(nats);
    for (let i = 0; i < listeners; i++) {
      world.rigs.push(
        world.stack.use(await startRig({ mqtt: { mqtt: {} } }, { nats, instance: `listener-${i}` })),
      );
    }
    const dir = world.stack.use(await tempDir("bridges"));
    const bus = createBus({
      servers: [nats.url],
      instance: "core",
      service: "dispatcher",
      logger: silentLogger,
    });
    await bus.start(AbortSignal.timeout(10_000));
    world.stack.defer(() => bus.stop());
    const { value } = checkValue(dispatcherSchema, settings);
    const dispatcher = await createDispatcher(value as DispatcherConfig, {
      bus,
      partitions: PARTITIONS,
      log: silentLogger,
      clock: systemClock,
      version: "0.0.0",
      dataDir: dir.path,
      resourcesDir: dir.path,
    });
    await dispatcher.start(AbortSignal.timeout(30_000));
    world.stack.defer(() => dispatcher.stop());
    await waitFor(() => dispatcher.core.partitions.size === PARTITIONS, {
      what: "all partitions",
      deadlineMs: 20_000,
    });
    return world;
  }

  get port(): number {
    return this.rigs[0]!.port("mqtt");
  }

  async client(clientId: string, more: IClientOptions = {}): Promise<Client> {
    return this.stack.use(await Client.open(this.port, clientId, more));
  }

  /** Declares these bridges, by name, to all listeners. */
  async declare(bridges: Readonly<Record<string, string>>): Promise<void> {
    const resources: Resource[] = [];
    for (const [name, text] of Object.entries(bridges)) {
      const head = `apiVersion: myelin.dev/v1alpha1\nkind: Bridge\nmetadata: { name: ${name} }\nspec:\n`;
      const { documents } = await parseResources(head + text, name);
      const { resource, problems } = documents[0]!;
      if (resource === undefined) throw new Error(JSON.stringify(problems));
      resources.push(resource);
    }
    const snapshot: Snapshot = { revision: 1, resources };
    for (const { listener } of this.rigs) listener.bridges.apply(snapshot);
  }

  /** Waits until the bridge is up on one of the listeners, and says on which. */
  async up(name = "b"): Promise<number> {
    const found = await waitFor(
      () => {
        const at = this.rigs.findIndex(({ listener }) =>
          listener.bridges.records().some((r) => r.name === name && r.state === "connected"),
        );
        return at < 0 ? undefined : { at };
      },
      { what: `the bridge ${name} to be up`, deadlineMs: 20_000 },
    );
    return found.at;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }
}
