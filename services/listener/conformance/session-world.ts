/** Whole listeners and dispatchers whose parts can be stopped one by one, and clients with sessions that outlive their connections. */
import { writeFile } from "node:fs/promises";
import { createBus } from "@myelin/bus";
import { checkValue } from "@myelin/config";
import {
  createDispatcher,
  type DispatcherConfig,
  type DispatcherService,
  dispatcherSchema,
} from "@myelin/dispatcher";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, type TempDir, tempDir, waitFor } from "@myelin/testkit";
import { connectAsync, type IClientOptions, type MqttClient } from "mqtt";
import { hashPassword } from "../src/core/password.js";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";
import { PacketClient } from "./packet-client.js";

/** A deployment whose parts can be stopped one by one. */
export class World implements AsyncDisposable {
  readonly stack = new AsyncDisposableStack();

  private constructor(
    readonly nats: NatsServer,
    private readonly dir: TempDir,
  ) {}

  static async open(): Promise<World> {
    const nats = await startNats();
    const world = new World(nats, await tempDir("sessions"));
    world.stack.use(nats);
    world.stack.use(world.dir);
    return world;
  }

  async listener(instance: string, admission?: object): Promise<Rig> {
    const options = { nats: this.nats, instance, ...(admission !== undefined && { admission }) };
    return this.stack.use(await startRig({ mqtt: { mqtt: {} } }, options));
  }

  /** Admission with users of these names, all with the password `secret`, and their labels. */
  async users(labels: Readonly<Record<string, string>>): Promise<object> {
    const password = await hashPassword(Buffer.from("secret"));
    const users = Object.entries(labels).map(([name, label]) => ({ name, password, label }));
    const usersFile = `${this.dir.path}/users.yaml`;
    await writeFile(usersFile, JSON.stringify({ users }));
    return { "static-file": { usersFile } };
  }

  async dispatcher(
    instance = "core",
    settings: object = {},
  ): Promise<DispatcherService & { kill(): Promise<void> }> {
    const bus = createBus({
      servers: [this.nats.url],
      instance,
      service: "dispatcher",
      logger: silentLogger,
    });
    await bus.start(AbortSignal.timeout(10_000));
    this.stack.defer(() => bus.stop());
    const { value } = checkValue(dispatcherSchema, settings);
    const made = await createDispatcher(value as DispatcherConfig, {
      bus,
      partitions: PARTITIONS,
      log: silentLogger,
      clock: systemClock,
      version: "0.0.0",
      dataDir: this.dir.path,
      resourcesDir: this.dir.path,
    });
    await made.start(AbortSignal.timeout(30_000));
    this.stack.defer(() => made.stop());
    await waitFor(() => made.core.partitions.size === PARTITIONS, {
      what: "all partitions",
      deadlineMs: 20_000,
    });
    return Object.assign(made, { kill: () => bus.stop() });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack.disposeAsync();
  }
}

/** A client and what it has received. */
export interface Client extends AsyncDisposable {
  readonly mqtt: MqttClient;
  readonly sessionPresent: boolean;
  readonly received: { text: string; qos: number; dup: boolean }[];
  /** Resolves with the texts when at least `count` have come. */
  texts(count: number): Promise<string[]>;
  cut(): Promise<void>;
}

/** Connects with a session that is kept, unless told otherwise. */
export async function connect(rig: Rig, clientId: string, more: IClientOptions = {}): Promise<Client> {
  const received: { text: string; qos: number; dup: boolean }[] = [];
  let sessionPresent = false;
  const mqtt = await connectAsync(`mqtt://127.0.0.1:${rig.port("mqtt")}`, {
    clientId,
    clean: false,
    reconnectPeriod: 0,
    connectTimeout: 9_000,
    ...(more.protocolVersion === 5 && { properties: { sessionExpiryInterval: 300 } }),
    ...more,
  }).then((made) => made);
  mqtt.on("error", () => {});
  mqtt.on("message", (_topic, payload, { qos, dup }) =>
    received.push({ text: payload.toString(), qos, dup }),
  );
  sessionPresent =
    (mqtt as unknown as { connackPacket?: { sessionPresent: boolean } }).connackPacket?.sessionPresent ??
    false;
  return {
    mqtt,
    get sessionPresent() {
      return sessionPresent;
    },
    received,
    texts: (count) =>
      waitFor(() => (received.length >= count ? received.map(({ text }) => text) : undefined), {
        what: `${count} messages for ${clientId}, ${received.length} are there`,
        deadlineMs: 10_000,
      }),
    cut: () => mqtt.endAsync(true),
    [Symbol.asyncDispose]: () => mqtt.endAsync(true),
  };
}

/** As texts, the last one left out. */
export const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => String(from + i));

/** A client that answers nothing by itself. */
export async function packets(rig: Rig, clientId: string): Promise<PacketClient> {
  const client = await PacketClient.open({
    transport: "TCP",
    port: rig.port("mqtt"),
    level: 4,
    patienceMs: 10_000,
  });
  client.send({
    cmd: "connect",
    clientId,
    clean: false,
    keepalive: 60,
    protocolId: "MQTT",
    protocolVersion: 4,
  });
  client.connack = await client.next("connack");
  return client;
}

/** The next ones, each of which must be a message. */
export async function messages(client: PacketClient, count: number) {
  const found: Awaited<ReturnType<PacketClient["message"]>>[] = [];
  while (found.length < count) found.push(await client.message());
  return found;
}

/** Every message is with its client, and its acknowledgement with the home. */
export async function acknowledged(core: DispatcherService): Promise<void> {
  await waitFor(() => core.sessions.figures.queued === 0, {
    what: "nothing to wait for any client",
    deadlineMs: 20_000,
  });
}

/** Resolves when all are acknowledged. */
export async function publish(client: Client, from: number, to: number, qos: 1 | 2 = 1): Promise<void> {
  await Promise.all(numbers(from, to).map((text) => client.mqtt.publishAsync("plant/a", text, { qos })));
}
